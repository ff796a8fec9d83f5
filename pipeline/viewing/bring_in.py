"""What would bring a row in: the setting that keeps it out, and a value that would let it pass.

It answers for the step that dropped the row. Whether the row would then be chosen, the steps behind
it decide; a what-if says that.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.selection.run_steps import NOT_HELD_OUT
from pipeline.viewing.reasons import MEANINGS
from storage.run_rows import RowLine
from storage.runs import StageCount


@dataclass(frozen=True, slots=True)
class WayIn:
    """What keeps a row out, and what would change that."""

    because: str
    would: str
    """"" where nothing in a recipe would."""
    setting: str = ""
    """PLACE=VALUE, as `sluice what-if --set` takes it; "" where there is no such."""
    can_be_tried: bool = False
    """Whether a what-if answers for it; else it takes a run."""


def way_in(line: RowLine, recipe: Mapping[str, Any], counts: Sequence[StageCount]) -> WayIn:
    """What would bring a row in that is out of a run's choice."""
    kind, _, state = (line.reason or "").partition(":")
    because = MEANINGS.get(kind, kind).replace("because_of", "the row below")
    if because.startswith("of "):
        because = f"a copy {because}"
    if state:
        because = f"the score could not be had: {state}"
    place, step = find_step(line, recipe, counts)
    answers: dict[str, Callable[[], tuple[str, str]]] = {
        "above_threshold": lambda: past_bound(line, place, step, "at_most"),
        "below_threshold": lambda: past_bound(line, place, step, "at_least"),
        "too_similar": lambda: past_similarity(line, place),
        "near_duplicate": lambda: past_copy(line, place, step),
        "exact_duplicate": lambda: past_copy(line, place, step),
        "shared_span": lambda: past_copy(line, place, step),
        "no_score": lambda: unscored(place, step),
        "held_out": lambda: ("With no row held out it would be in the pool", "select.held_out=0"),
        "over_budget": lambda: past_budget(place, step),
        "contaminated": lambda: ("With check.action: flag it would stay; read the pair first", ""),
        "marked_bad": lambda: (
            "Judged ok on the page Review, it would pass: the last verdict counts",
            "",
        ),
        "truncated": lambda: ("A larger measure.tokens.max_tokens, if the trainer reads it", ""),
    }
    would, setting = answers[kind]() if kind in answers else ("", "")
    return WayIn(because, would, setting, setting.startswith("select."))


def find_step(
    line: RowLine, recipe: Mapping[str, Any], counts: Sequence[StageCount]
) -> tuple[str, Mapping[str, Any]]:
    """The place in the recipe of the step that dropped a row, and its settings; "" if in none."""
    steps = recipe.get("select", {}).get("steps", []) if line.stage == "select" else []
    steps = recipe.get("dedupe", []) if line.stage == "dedupe" else steps
    first = 0
    if line.stage == "select":  # before the recipe's own stand those that every selection takes
        labels = {c.label: c.step for c in counts if c.stage == "select"}
        first = labels.get(NOT_HELD_OUT, 0)
    index = (line.step or 0) - first - 1  # steps count from 1, places in a recipe from 0
    if not 0 <= index < len(steps):
        return "", {}
    at = "select.steps" if line.stage == "select" else "dedupe"
    return f"{at}.{index}", steps[index]


def past_bound(line: RowLine, place: str, step: Mapping[str, Any], end: str) -> tuple[str, str]:
    """With the bound at the row's own score."""
    if line.value is None or not place or step.get(end) is None:
        return "", ""
    bound = rounded(line.value, up=end == "at_most")
    setting = f"{place}.{end}={bound}"
    return (
        f"Its {step['score']} is {line.value:.4g}, and {end} is {step[end]:g}: with {bound} "
        "it would pass this step",
        setting,
    )


def past_similarity(line: RowLine, place: str) -> tuple[str, str]:
    """With the bound at the row's own similarity."""
    if line.value is None or not place:
        return "", ""
    bound = rounded(line.value, up=True)
    return (
        f"Its similarity to that row is {line.value:.3f}: with max_similarity {bound} it would be "
        "taken, while the budget lasts",
        f"{place}.max_similarity={bound}",
    )


def past_copy(line: RowLine, place: str, step: Mapping[str, Any]) -> tuple[str, str]:
    """With another threshold of the search for copies."""
    if line.value is None or step.get("threshold") is None:
        return "Without the row below it would stay", ""
    bound = rounded(line.value, up=True, digits=2)
    if bound > 1:
        return "Without the row below it would stay", ""
    return (
        f"The two are alike at {line.value:.3f}: with a threshold of {bound} both would stay",
        f"{place}.threshold={bound}",
    )


def unscored(place: str, step: Mapping[str, Any]) -> tuple[str, str]:
    """Where the step may keep rows without a score."""
    if "unscored" not in step:
        return "", ""
    return "The step may keep rows without a score", f"{place}.unscored=keep"


def past_budget(place: str, step: Mapping[str, Any]) -> tuple[str, str]:
    """With twice the budget: a number to begin with."""
    budget = {k: v for k, v in (step.get("budget") or {}).items() if v is not None}
    if not place or len(budget) != 1:
        return "With a larger budget its turn would come", ""
    ((unit, amount),) = budget.items()
    doubled = min(2 * amount, 1.0) if unit == "fraction" else 2 * amount
    return (
        f"The budget of {amount:,} {unit} was used up before its turn: try twice as much",
        f"{place}.budget.{unit}={doubled}",
    )


def rounded(value: float, *, up: bool, digits: int = 4) -> float:
    """A bound with few digits that still lets the value pass."""
    scale = 10.0**digits
    return (math.floor(value * scale) + (1 if up else 0)) / scale
