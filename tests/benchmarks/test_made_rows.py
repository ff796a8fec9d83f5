"""What filters of makers take out, and how diverse the texts are that are left by then."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest

from benchmarks.made_rows import filter_in_turn, judge_instructions
from pipeline.generation.makers.self_instruct import SelfInstruct

Call: TypeAlias = Mapping[str, Any]

SEEDS = {"a": "Name three rivers of the north."}


def call(stage: str, attempt: int, text: str, outcome: str = "kept", why: str = "x") -> Call:
    told: Call = {"stage": stage, "attempt": attempt, "text": text}
    return {**told, "finished": True, "outcome": outcome, "reason": why}


def test_each_filter_has_what_it_took_and_the_diversity_of_the_rest() -> None:
    judged = [
        ("one two three", ""),
        ("one two three", "too_similar"),
        ("four five six", "instance: refusal"),
        ("so", "too_short"),
        ("well", "too_short"),
    ]
    found = filter_in_turn(judged)
    assert [(each["filter"], each["dropped"]) for each in found] == [
        ("too_short", 2),
        ("too_similar", 1),
        ("instance: refusal", 1),
    ]
    left: list[Any] = [each["left"] for each in found]
    assert [each["texts"] for each in left] == [3, 2, 1]
    alike = [each["mean ROUGE-L F of pairs"] for each in left]
    assert alike == [0.333, 0.0, None]  # of three pairs one is the same; of two texts nothing
    assert filter_in_turn([("so", "")]) == []


def test_items_of_a_list_go_by_the_rules_of_the_maker_and_by_what_became_of_their_instance() -> (
    None
):
    settings = SelfInstruct(method="self_instruct", instructions=3)
    calls = [
        call(
            "instructions", 1, "8. Tell of a cow and its calf.\n9. Guess what owls hear at night."
        ),
        call("instructions", 0, "7. Name three rivers of the north.\n8. Sum up a long day at sea."),
        call("instructions", 2, "7. Say why bread is baked early.\n8. Draw a cat on a mat."),
        *(call("classification", n, "no") for n in range(3)),
        call("instance", 0, "Output: so"),
        call("instance", 1, "", "dropped", "no_instance"),
        call("instance", 2, "Output: so"),
    ]
    assert [*judge_instructions(settings, SEEDS, calls)] == [
        ("Name three rivers of the north.", "too_similar"),
        ("Sum up a long day at sea.", ""),
        ("Tell of a cow and its calf.", "instance: no_instance"),
        ("Guess what owls hear at night.", ""),
        ("Say why bread is baked early.", "enough"),
        ("Draw a cat on a mat.", "enough"),
    ]
    with pytest.raises(ValueError, match="3 are accepted here, and 4 by the maker"):
        [*judge_instructions(settings, SEEDS, [*calls, call("instance", 3, "Output: so")])]
