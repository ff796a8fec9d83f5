"""Read a recipe and find everything that is wrong with it before any work, all at once.

Its form is looked at in form.py; then what blocks say of each other and of what is on disk,
in check_inputs.py, check_measures.py and check_selection.py.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml

from flows.recipe import check_inputs, check_measures, check_selection
from flows.recipe.form import validate
from flows.recipe.schema import Recipe, place_model, place_sources
from flows.recipe.strict_yaml import MOST_CHARACTERS, read_yaml
from pipeline.ingest.stage import ALL_TURNS


class RecipeError(ValueError):
    """A recipe cannot be run; `problems` has every reason found."""

    exit_code: ClassVar[int] = 2

    def __init__(self, recipe: str, problems: list[str]) -> None:
        self.problems = problems
        listed = "\n".join(f"  - {problem}" for problem in problems)
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(f"{recipe} has {len(problems)} {noun}:\n{listed}")


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe, with its target resolved and its paths still as written.

    Args:
        path: of the file.
        changes: settings to use in place of the file's, as PLACE=VALUE.

    Raises:
        RecipeError: if anything is wrong with it; every problem found is in the message.
    """
    try:
        with path.open(encoding="utf-8") as file:  # a device may have no end
            value = read_yaml(file.read(MOST_CHARACTERS + 1))
    except FileNotFoundError:
        raise RecipeError(str(path), ["there is no such file"]) from None
    except OSError as error:
        raise RecipeError(str(path), [f"it cannot be read: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"it is not YAML: {one_line(error)}"]) from None
    if not isinstance(value, dict):
        raise RecipeError(str(path), ["it must be a mapping of blocks; see docs/recipes.md"])
    for change in changes:
        put_setting(value, change, path)
    recipe, problems = validate(value)
    problems += find_problems(recipe, path.parent)
    if problems:
        raise RecipeError(str(path), problems)
    return Recipe.model_validate(recipe).with_target()


def put_setting(recipe: dict[str, Any], change: str, path: Path) -> None:
    """Put PLACE=VALUE, such as `select.steps.0.at_most=0.9`, into a recipe as it was written.

    Raises:
        RecipeError: if there is no such place.
    """
    place, equals, value = change.partition("=")
    *blocks, last = place.split(".")
    inner: Any = recipe
    hint = "" if equals else "write PLACE=VALUE, as in seed=3"
    try:
        for name in blocks:
            # A block that the recipe leaves out is begun: its other settings have defaults.
            inner = inner[int(name)] if isinstance(inner, list) else inner.setdefault(name, {})
        inner[int(last) if isinstance(inner, list) else last] = read_yaml(value)
    except IndexError:
        hint = hint or f"that list has {len(inner)} entries, counted from 0"
    except (AttributeError, TypeError, ValueError):
        hint = hint or "the recipe has no such place"
    except yaml.YAMLError as error:
        hint = hint or f"its value is not YAML: {one_line(error)}"
    if hint:
        raise RecipeError(str(path), [f"{change!r} sets nothing: {hint}"])


def check_given(recipe: Recipe, base: Path) -> Recipe:
    """Check a recipe that came from no file; give it with its target resolved.

    Raises:
        RecipeError: if anything is wrong with it; every problem found is in the message.
    """
    blocks = {name: getattr(recipe, name) for name in Recipe.model_fields}
    if problems := find_problems(blocks, base):
        raise RecipeError(recipe.name, problems)
    return recipe.with_target()


def find_problems(blocks: Mapping[str, Any], base: Path) -> list[str]:
    """What is wrong with blocks that are each valid: with what they name, and with each other."""
    checks = (
        (check_inputs.source_problems, {"sources", "targets", "documents", "generate"}),
        (check_inputs.document_problems, {"documents"}),
        (check_inputs.maker_problems, {"sources", "documents", "generate"}),
        (check_inputs.reading_problems, {"generate"}),
        (check_inputs.verifier_problems, {"generate"}),
        (check_inputs.prompt_problems, {"generate"}),
        (check_inputs.example_problems, {"generate"}),
        (check_inputs.model_problems, set(Recipe.model_fields)),
        (check_inputs.template_problems, {"target", "chat_template"}),
        (check_measures.measure_problems, {"measure"}),
        (check_measures.score_problems, {"scores", "measure", "targets"}),
        (check_measures.rating_problems, {"scores", "measure"}),
        (check_measures.indicator_problems, {"scores", "indicator"}),
        (check_measures.dedupe_problems, {"scores", "measure", "dedupe"}),
        (check_inputs.check_problems, {"measure", "check"}),
        (check_selection.select_problems, {"scores", "measure", "select"}),
        (check_selection.repair_problems, {"generate", "measure", "dedupe", "select"}),
        (check_selection.budget_problems, {"sources", "generate", "select"}),
        (check_selection.share_problems, {"scores", "select"}),
        (
            check_selection.licence_share_problems,
            {"sources", "generate", "personal_data", "indicator", "select"},
        ),
        (check_selection.named_source_problems, {"workspace", "sources", "generate", "select"}),
        (check_measures.export_problems, {"scores", "export"}),
        (check_measures.train_problems, {"measure", "export", "train"}),
        (check_measures.held_out_problems, {"select", "train"}),
        (check_measures.soup_problems, {"name", "workspace", "train"}),
        (check_measures.mix_problems, {"workspace", "train"}),
        (check_inputs.license_problems, {"sources", "documents", "licenses"}),
    )
    turns = blocks.get("turns", ALL_TURNS)
    sources = place_sources(blocks.get("sources", ()), base, turns)
    check = blocks["check"].placed(base) if blocks.get("check") else None
    targets = place_sources(blocks.get("targets", ()), base, turns)
    documents = tuple(block.placed(base) for block in blocks.get("documents", ()))
    placed = {"sources": sources, "targets": targets, "documents": documents, "check": check}
    if "generate" in blocks:
        placed["generate"] = tuple(block.placed(base) for block in blocks["generate"])
    if blocks.get("chat_template"):
        placed["chat_template"] = os.path.abspath(base / blocks["chat_template"])
        placed["target"] = place_model(blocks.get("target", ""), base)
    if "workspace" in blocks:
        placed["workspace"] = str(base / blocks["workspace"])
    # Not validated: some blocks may be missing, and a check is only asked if its own are there.
    recipe = Recipe.model_construct(**{**blocks, **placed})
    found = [
        problem for check, needed in checks if needed <= set(blocks) for problem in check(recipe)
    ]
    return found + list(check_selection.unknown_sources(blocks))


def one_line(error: Exception) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split())
