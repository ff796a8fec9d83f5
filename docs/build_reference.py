"""Write what in the documentation follows from the code, so that the two cannot drift apart.

    python docs/build_reference.py

It fills the marked parts of docs/recipes.md (tables of fields, the scorers, what a wrong recipe is
answered), writes docs/methods.md from the docstrings, and lists the files in the README, each with
its first line. tests/test_docs.py fails where a page is not what this would write.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.recipe.check import RecipeError, load_recipe
from flows.recipe.schema import Recipe
from pipeline.text.markdown import markdown_table
from scorers import SCORERS, scorer_settings

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "docs" / "recipes.md"
METHODS = ROOT / "docs" / "methods.md"
README = ROOT / "README.md"

PACKAGES = ("flows", "pipeline", "scorers", "storage", "fine_tune")

TREE = re.compile(r"(<!-- generated: tree -->\n```\n).*?(\n```\n<!-- end -->)", re.DOTALL)
"""The part of the README that lists the files."""

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

METHODS_START = "<!-- generated: methods -->\n"
"""Where in docs/methods.md the entries begin; what stands before is written by hand."""

MEASURES = (
    "losses",
    "trajectories",
    "confidence",
    "entailment",
    "preferences",
    "ratings",
    "turn_ratings",
    "tags",
    "context",
    "cappy",
    "gradients",
    "projection",
)
"""Files of scorers/measures/ that define a number, as opposed to how a model is loaded or asked."""

BLEND = "blend"
"""A file of pipeline/selection/ that is no step, and part of several."""

DEDUPE = ("exact", "minhash", "signatures", "shingles", "semantic", "cells", "substring")
"""Files of pipeline/dedupe/ that say what is compared."""

CONTAMINATION = ("texts", "ngrams", "short", "semantic", "leaks")
"""Files of pipeline/contamination/ that say what is compared, and what recall is of."""

ROWS = {
    "language": "pipeline/measuring/measures/languages",
    "personal data": "pipeline/cleaning/personal_data",
    "final answer": "pipeline/text/final_answer",
    "indicator": "pipeline/generation/indicator",
}
"""What else is found in a row or put into it, and the files that say how."""

TRACING = {"spans": "spans", "tokens": "tokens", "suffix array": "suffixes"}
"""How a completion is traced back to rows: files of pipeline/substrings/."""

EVIDENCE = ("lengths", "overlap", "sensitivity", "agreement")
"""Files of pipeline/evidence/: what stands for and against a choice."""

PLANNING = {
    "next tasks, MoPPS": "pipeline/advice/mopps",
    "next tasks, MPTS": "pipeline/advice/mpts",
    "mixtures": "pipeline/advice/mixture_model",
    "balanced loss": "fine_tune/balance",
    "budgets": "pipeline/advice/budget_advice",
    "what if": "pipeline/reporting/what_if",
    "screening": "pipeline/advice/screen",
}
"""What helps to decide on data and money before and between runs, and the files that say how."""


def main() -> None:
    """Write the pages."""
    for path, text in build().items():
        path.write_text(text, encoding="utf-8")


def build() -> dict[Path, str]:
    """Path → the text it should have."""
    return {
        RECIPES: fill(RECIPES.read_text(encoding="utf-8")),
        METHODS: methods_page(),
        README: TREE.sub(rf"\g<1>{source_tree()}\g<2>", README.read_text(encoding="utf-8")),
    }


def source_tree() -> str:
    """Every file of the packages with the first sentence of its docstring."""
    lines = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            remark = first_sentence(docstring(path))
            name = path.relative_to(ROOT).as_posix()
            lines.append(f"{name:<40} {remark}")
    return "\n".join(lines).replace("\\", "\\\\")


def first_sentence(text: str) -> str:
    """The first line of a docstring, without its full stop."""
    return text.strip().splitlines()[0].rstrip(".")


def fill(page: str) -> str:
    """A page with its generated parts written anew."""
    schema = Recipe.model_json_schema()
    links = block_links(page)

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


def block_links(page: str) -> dict[str, str]:
    """Name of a settings class → a link to the heading above its table."""
    links: dict[str, str] = {}
    heading = ""
    for found in HEADING_OR_FIELDS.finditer(page):
        if found[1]:
            heading = found[1]
        else:
            links[found[2]] = f"[{heading}](#{slug(heading)})"
    return links


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
    rows = []
    for field, described in block["properties"].items():
        default = "required" if field in required else default_text(described.get("default"))
        meaning = described.get("description", "Names the method.")
        rows.append((f"`{field}`", value_text(described, links), default, meaning))
    return markdown_table("llll", ("field", "value", "default", "meaning"), rows)


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
    rows = []
    for name, scorer in SCORERS.items():
        given = scorer_settings(scorer, {}).items()
        settings = ", ".join(f"`{key}` (`{yaml_text(value)}`)" for key, value in given) or "none"
        link = f"[`{name}`](methods.md#{slug(f'Score: {name}')})"
        rows.append((link, f"`{scorer.measure}`", scorer.unit, scorer.version, settings))
    return markdown_table("lllrl", ("scorer", "reads", "unit", "version", "settings"), rows)


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


def docstring(path: Path) -> str:
    """The docstring of a module, read without importing it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if text is None:
        raise ValueError(f"{path} has no docstring")
    return text


def methods_page() -> str:
    """The text of docs/methods.md."""
    head = METHODS.read_text(encoding="utf-8").split(METHODS_START)[0]
    return (
        "\n".join([head + METHODS_START, *scorer_entries(), *other_entries()]).rstrip("\n") + "\n"
    )


def scorer_entries() -> Iterator[str]:
    """An entry for each scorer."""
    yield "## Scores\n"
    for name, scorer in SCORERS.items():
        reads = ", ".join(f"`{column}`" for column in scorer.reads)
        facts = f"Reads {reads} of `{scorer.measure}`. Unit: {scorer.unit}."
        text = docstring(ROOT / "scorers" / f"{name}.py")
        yield f"### Score: {name}\n\n{facts}\n\n{text}\n"


def other_entries() -> Iterator[str]:
    """Entries for all that is no score, a chapter at a time."""
    for heading, entry, introduction, files in chapters():
        text = f"{docstring(ROOT / introduction)}\n" if introduction else ""
        yield f"## {heading}\n\n{text}" if text else f"## {heading}\n"
        for name, file in files.items():
            yield f"### {entry}: {name}\n\n{docstring(ROOT / f'{file}.py')}\n"


def chapters() -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """Heading, the word before each entry, the file that introduces it, and name → file."""
    measures = {name: f"scorers/measures/{name}" for name in MEASURES}
    yield "Measures", "Measure", "", measures
    selection = {path.stem: f"pipeline/selection/{path.stem}" for path in selection_methods()}
    yield "Selection", "Selection", "", selection
    evidence = {name: f"pipeline/evidence/{name}" for name in EVIDENCE}
    yield "Evidence", "Evidence", "pipeline/evidence/__init__.py", evidence
    dedupe = {name: f"pipeline/dedupe/{name}" for name in DEDUPE}
    yield "Deduplication", "Deduplication", "pipeline/dedupe/__init__.py", dedupe
    yield "Rows", "Rows", "", ROWS
    tracing = {name: f"pipeline/substrings/{file}" for name, file in TRACING.items()}
    yield "Tracing", "Tracing", "", tracing
    check = {name: f"pipeline/contamination/{name}" for name in CONTAMINATION}
    yield "Contamination", "Contamination", "pipeline/contamination/__init__.py", check
    yield "Planning", "Planning", "", PLANNING


def selection_methods() -> list[Path]:
    """The files of the methods of selection, by name."""
    selection = ROOT / "pipeline" / "selection"
    return sorted([*modules_with(selection, "select_"), selection / f"{BLEND}.py"])


def modules_with(folder: Path, prefix: str) -> Iterator[Path]:
    """Modules of a folder that define a function whose name starts so."""
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if any(name.startswith(prefix) for name in names):
            yield path


if __name__ == "__main__":
    main()
