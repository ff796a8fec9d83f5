"""The generated parts of the recipe pages: fields of each block, the scorers, a wrong recipe."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from docs.docstrings import ROOT
from flows.recipe.check import RecipeError, load_recipe
from flows.recipe.schema import Recipe
from scorers import SCORERS, scorer_settings

INDEX = ROOT / "docs" / "recipes.md"
BLOCKS = ROOT / "docs" / "recipes"

PART = re.compile(
    r"(<!-- generated: (fields|scorers|errors)(?: (\S+))? -->\n).*?(<!-- end -->)", re.DOTALL
)
"""A generated part: what it is of which kind, and between the markers its text."""

HEADING_OR_FIELDS = re.compile(r"^#+ (.+)$|^<!-- generated: fields (\w+) -->$", re.MULTILINE)

FILE = re.compile(r"^```\w+ (\S+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A fence whose opening line names a file."""

BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
}

KINDS = {
    "string": "text",
    "boolean": "`true` or `false`",
    "integer": "whole number",
    "number": "number",
    "object": "mapping",
}


def recipe_pages() -> dict[Path, str]:
    """Path → the text that each page about recipes has now."""
    paths = [INDEX, *sorted(BLOCKS.glob("*.md"))]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def filled_pages() -> dict[Path, str]:
    """Path → the text that each page about recipes should have."""
    pages = recipe_pages()
    schema = Recipe.model_json_schema()
    places = block_places(pages)
    filled = {}
    for path, page in pages.items():
        links = {name: link(heading, to, path) for name, (to, heading) in places.items()}
        filled[path] = fill(page, schema, links)
    return filled


def fill(page: str, schema: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """A page with its generated parts written anew."""

    def part(found: re.Match[str]) -> str:
        start, kind, name, end = found.groups()
        if kind == "fields":
            text = field_table(schema, name, links)
        elif kind == "scorers":
            text = scorer_table()
        else:
            text = wrong_recipe(page, name)
        return f"{start}\n{text}\n\n{end}"

    return PART.sub(part, page)


def block_places(pages: Mapping[Path, str]) -> dict[str, tuple[Path, str]]:
    """Name of a settings class → the page with its table, and the heading above that."""
    return {name: (path, heading) for path, name, heading in tables(pages)}


def tables(pages: Mapping[Path, str]) -> Iterator[tuple[Path, str, str]]:
    """The tables of fields: page, settings class, heading above."""
    for path, page in pages.items():
        heading = ""
        for found in HEADING_OR_FIELDS.finditer(page):
            if found[1]:
                heading = found[1]
            else:
                yield path, found[2], heading


def link(heading: str, to: Path, page: Path) -> str:
    """A link from one page to a heading of another, or of its own."""
    file = "" if to == page else Path(os.path.relpath(to, page.parent)).as_posix()
    return f"[{heading}]({file}#{slug(heading)})"


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page_files(page: str) -> dict[str, str]:
    """Name → content of the fences of a page that name a file."""
    return {found[1]: found[2] for found in FILE.finditer(page)}


def block_schema(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The part of the recipe's JSON schema for one settings class."""
    found: Mapping[str, Any] = schema if name == Recipe.__name__ else schema["$defs"][name]
    return found


def field_table(schema: Mapping[str, Any], name: str, links: Mapping[str, str]) -> str:
    """The fields of one settings class as a Markdown table."""
    block = block_schema(schema, name)
    required = block.get("required", ())
    lines = ["| field | value | default | meaning |", "|---|---|---|---|"]
    for field, described in block["properties"].items():
        default = "required" if field in required else default_text(described.get("default"))
        meaning = described.get("description", "Names the method.")
        cells = (f"`{field}`", value_text(described, links), default, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def value_text(described: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """What a field takes: its type, its bounds, or the block it is."""
    if "const" in described:
        return f"`{yaml_text(described['const'])}`"
    if "enum" in described:
        return ", ".join(f"`{yaml_text(each)}`" for each in described["enum"])
    if "$ref" in described:
        return links[described["$ref"].rsplit("/", 1)[-1]]
    for alternatives in ("anyOf", "oneOf"):
        if alternatives in described:
            given = [each for each in described[alternatives] if each.get("type") != "null"]
            return ", ".join(value_text(each, links) for each in given)
    if described["type"] == "array":
        return f"list of {value_text(described['items'], links)}"
    bounds = [f"{word} {described[key]:g}" for key, word in BOUNDS.items() if key in described]
    bounds += [f"matching `{described['pattern']}`"] if "pattern" in described else []
    return " ".join([KINDS[described["type"]], " and ".join(bounds)]).strip()


def default_text(default: object) -> str:
    """A default as a recipe would write it."""
    if default in (None, "", [], {}):
        return "none"
    return "its defaults" if isinstance(default, dict) else f"`{yaml_text(default)}`"


def yaml_text(value: object) -> str:
    """A scalar in YAML; small numbers in full, for YAML reads 2e-05 as a text."""
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    return value if isinstance(value, str) else json.dumps(value)


def scorer_table() -> str:
    """The catalogue of scorers as a Markdown table."""
    lines = ["| scorer | reads | unit | version | settings |", "|---|---|---|--:|---|"]
    for name, scorer in SCORERS.items():
        given = scorer_settings(scorer, {}).items()
        settings = ", ".join(f"`{key}` (`{yaml_text(value)}`)" for key, value in given) or "none"
        entry = f"[`{name}`](../methods.md#{slug(f'Score: {name}')})"
        reads = f"`{scorer.measure}`" if scorer.measure else " and ".join(scorer.reads)
        cells = (entry, reads, scorer.unit)
        lines.append(f"| {' | '.join(cells)} | {scorer.version} | {settings} |")
    return "\n".join(lines)


def wrong_recipe(page: str, name: str) -> str:
    """What `sluice run` answers to a wrong recipe of the page, given the files of the page."""
    with TemporaryDirectory() as directory:
        for file, content in page_files(page).items():
            (Path(directory) / file).write_text(content, encoding="utf-8")
        try:
            load_recipe(Path(directory) / name)
        except RecipeError as error:
            message = str(error).replace(f"{directory}/", "")
            return f"```text\n$ sluice run {name}\nsluice: error: {message}\n```"
    raise ValueError(f"{name} was to be wrong, but nothing is wrong with it")
