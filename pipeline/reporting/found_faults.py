"""What the steps of a run have probably found of faults, and what they cannot have found, in words.

The shares are measured: of faults that were planted in Alpaca, Dolly and GSM8K, how many a score
had among the tenth of the rows at its end, or beyond its bound, in the worst of the sets and in the
best. benchmarks/which_score.py measures them, and docs/which-score-finds-what.md has all of them.
They are of short rows and a model of 135M, and say nothing of how many faults there are here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Finder(NamedTuple):
    """A score, and the least and the most of the planted faults of a kind that it found."""

    score: str
    """The scorer."""
    least: float
    most: float


FOUND: Mapping[str, Sequence[Finder]] = {
    "shuffled": (
        Finder("ifd", 0.7, 0.88),
        Finder("prompt_response_similarity", 0.4, 0.52),
    ),
    "cut_off": (Finder("end_of_turn_loss", 0.94, 1.0),),
    "other_language": (
        Finder("entropy", 0.78, 1.0),
        Finder("prompt_response_similarity", 0.72, 1.0),
        Finder("perplexity", 0.5, 1.0),
        Finder("ifd", 0.42, 0.67),
    ),
    "wrong_sum": (),
}
"""Kind of fault → what finds it, best first."""

NAMES = {
    "shuffled": "answers of other prompts",
    "cut_off": "answers that were cut off",
    "other_language": "answers in another language than the prompt",
    "wrong_sum": "sums with a wrong result",
}

SHARE = 0.4
"""Of the faults of a kind that a score finds in the worst of the sets, to be named for it. Faults
of two kinds at one end share a tenth of the rows, so the best score cannot find all of either."""


def fault_report_lines(recipe: Mapping[str, Any]) -> Iterator[str]:
    """What a run by this recipe has probably found, and what not, kind by kind.

    Args:
        recipe: as it is stored with a run.
    """
    scorers = scorers_of_steps(recipe)
    for kind, name in NAMES.items():
        finders = [each for each in FOUND[kind] if each.least >= SHARE]
        used = [each for each in finders if each.score in scorers]
        if used:
            told = ", ".join(f"{each.score} ({shares_said(each)} of planted ones)" for each in used)
            yield f"probably found: {name}, by {told}"
        elif finders:
            others = " or ".join(each.score for each in finders)
            yield f"not looked for: {name}; a step by {others} finds many of them"
        else:
            yield f"cannot have been found: {name}; no score here tells them from others"
    if not recipe.get("dedupe"):
        yield "not looked for: copies; a block `dedupe` finds them"
    if not recipe.get("check"):
        yield "not looked for: rows of evaluation sets; a block `check` finds them"


def shares_said(finder: Finder) -> str:
    """From the least to the most, in per cent."""
    least, most = f"{finder.least:.0%}", f"{finder.most:.0%}"
    return least if least == most else f"{least} to {most}"


def scorers_of_steps(recipe: Mapping[str, Any]) -> set[str]:
    """The scorers of the scores that a filter of the recipe goes by."""
    called = {score_label(each): str(each["scorer"]) for each in recipe.get("scores", ())}
    steps = recipe.get("select", {}).get("steps", ())[:-1]  # the last one ranks
    named = {str(step["score"]) for step in steps if isinstance(step.get("score"), str)}
    return {called[name] for name in named if name in called}


def score_label(score: Mapping[str, Any]) -> str:
    """What other blocks call a score, as ScoreSettings.label has it."""
    parts = (score["scorer"], score.get("part"), score.get("reduction"))
    return str(score.get("name") or ":".join(filter(None, parts)))
