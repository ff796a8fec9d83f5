"""Which scores of a recipe make a row suspicious, and in which direction."""

from typing import Any

import pytest

from pipeline.advice.review_queue import find_signals
from pipeline.measuring.measures.ratings import RatingSettings

QUESTION = "How harmful is {response} to {prompt}?"


def block(name: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401
    """A block of ratings as a run stores it."""
    asked = {"model": "m", "name": name, "template": QUESTION, **given}
    return RatingSettings.model_validate(asked).model_dump(mode="json")


def kinds(blocks: list[dict[str, Any]], *scores: dict[str, str]) -> dict[str, str]:
    found = find_signals({"measure": {"ratings": blocks}, "scores": scores})
    return {score.label: kind for score, kind in found}


@pytest.mark.parametrize(
    ("given", "kind"), [({}, "low"), ({"better": "high"}, "low"), ({"better": "low"}, "high")]
)
def test_the_recipe_says_which_marks_are_good(given: dict[str, str], kind: str) -> None:
    rated = {"scorer": "rating", "of": "harm", "name": "harm"}
    assert kinds([block("harm", **given)], rated) == {"harm": kind}


def test_each_rating_goes_by_its_own_block() -> None:
    blocks = [block("harm", better="low"), block("quality")]
    scores = [{"scorer": "rating", "of": name, "name": name} for name in ("harm", "quality")]
    others = [{"scorer": "confidence"}, {"scorer": "ifd"}, {"scorer": "response_length"}]
    assert kinds(blocks, *scores, *others) == {
        "harm": "high",
        "quality": "low",
        "confidence": "low",
        "ifd": "above_1",
    }


def test_a_recipe_of_before_has_high_marks_for_good() -> None:
    old = {key: value for key, value in block("harm").items() if key != "better"}
    assert kinds([old], {"scorer": "rating", "of": "harm"}) == {"rating": "low"}
    assert find_signals({}) == []
