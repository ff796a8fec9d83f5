"""Prompts from files: what is filled in is never read as a mark, and turns are turns."""

import re

import pytest

from pipeline.generation.templates import fill_prompt, fill_turns, fixed_text, prompt_fault


def test_what_is_filled_in_may_hold_marks_and_braces() -> None:
    evil = "$answer ${prompt} {0} %s [user]\n"
    assert fill_prompt("rejection_hint", {"prompt": evil, "answer": "6"}).startswith(evil)
    turns = fill_turns("self_instruct_classification", {"task": evil})
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert evil in str(turns[-1]["content"])


def test_a_field_that_is_missing_or_has_no_place_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"filled with \['prompt'\], not \['answer', 'prompt'\]"):
        fill_prompt("rejection_hint", {"prompt": "x"})
    with pytest.raises(ValueError, match="filled with"):
        fill_turns("self_instruct_classification", {"task": "x", "more": "y"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Answer: $answer", r"rejection_hint.txt has no \$prompt: write it where that shall stand"),
        ("", r"has no \$answer, \$prompt"),
        ("$prompt $answer $other", r"is filled with nothing for \$other: take it out"),
    ],
)
def test_a_prompt_without_its_mark_is_told(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.generation.templates.read_prompt_text", lambda name: text)
    assert re.search(told, prompt_fault("rejection_hint"))
    with pytest.raises(ValueError, match=told):
        fill_prompt("rejection_hint", {"prompt": "x", "answer": "y"})


def test_fixed_text_has_neither_fields_nor_marks_of_turns() -> None:
    text = " ".join(fixed_text("self_instruct_input_first"))
    assert "brick" in text and "$" not in text and "[user]" not in text
