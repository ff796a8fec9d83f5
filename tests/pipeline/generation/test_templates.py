"""Prompts from files: what is filled in is never read as a mark, and turns are turns."""

import pytest

from pipeline.generation.templates import fill_prompt, fill_turns, fixed_text


def test_what_is_filled_in_may_hold_marks_and_braces() -> None:
    evil = "$answer ${prompt} {0} %s [user]\n"
    assert fill_prompt("rejection_hint", {"prompt": evil, "answer": "6"}).startswith(evil)
    turns = fill_turns("self_instruct_classification", {"task": evil})
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert evil in str(turns[-1]["content"])


def test_a_field_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError, match="answer"):
        fill_prompt("rejection_hint", {"prompt": "x"})


def test_fixed_text_has_neither_fields_nor_marks_of_turns() -> None:
    text = " ".join(fixed_text("self_instruct_input_first"))
    assert "brick" in text and "$" not in text and "[user]" not in text
