"""Lists of instructions and instances, as models write them and as they should not."""

import pytest

from pipeline.generation.instruction_lists import (
    TaskInstance,
    fault_of_instruction,
    read_instances,
    read_instructions,
)
from pipeline.generation.maker import Unread
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure


def said(text: str, finished: bool = True) -> GeneratedAnswer:
    return GeneratedAnswer(text, 1, finished)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("7. Do this.\n8. Do that.", ["Do this.", "Do that."]),
        ("Sure!\n\n7) Do\n   this.\n12) Do that.", ["Do this.", "Do that."]),
        ("1.\n2. Only this one.\n3.", ["Only this one."]),
        ("In 2020. something", None),
        ("- Do this\n- Do that", None),
    ],
)
def test_items_are_read_whatever_their_numbers(text: str, items: list[str] | None) -> None:
    assert read_instructions(said(text)) == (items or Unread("no_list"))


def test_of_a_list_that_was_cut_off_the_last_item_goes() -> None:
    assert read_instructions(said("1. Whole.\n2. Cut in", finished=False)) == ["Whole."]
    assert read_instructions(said("1. Cut in", finished=False)) == Unread("cut_off")
    assert read_instructions(GenerationFailure("timeout", "")) == Unread("timeout")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Name four kinds of bread.", ""),
        ("Name four kinds.", "too_short"),
        ("word " * 151, "too_long"),
        ("word " * 150, ""),
        ("?Name four kinds of bread.", "odd_beginning"),
        ("Été is which season now?", "odd_beginning"),
        ("Write a program that sorts.", "asks_for_program"),
        ("Describe the picture you see.", "not_text"),
        ("Say where to go to eat.", "not_text"),
        ("Go on, and say to whom.", ""),
    ],
)
def test_what_a_text_cannot_answer_is_no_instruction(text: str, fault: str) -> None:
    assert fault_of_instruction(text, ()) == fault


def faults(text: str, *, label_first: bool = False) -> list[tuple[str, str, str]] | str:
    read = read_instances(said(text), label_first=label_first)
    if isinstance(read, Unread):
        return read.reason
    return [(each.input, each.output, each.fault) for each in read]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Input: a\nOutput: b", [("a", "b", "")]),
        ("Input: None\nOutput: b\nc", [("", "b\nc", "")]),
        ("Output: b", [("", "b", "")]),
        ("Input: a\nOutput: a", [("a", "a", "output_is_input")]),
        ("Input: a\nOutput:", [("a", "", "empty_output")]),
        ("Input: a\nOutput: as follows:", [("a", "as follows:", "ends_with_colon")]),
        (
            "Example 1\nInput: a\nOutput: b\n\nExample 2\nInput: a\nOutput: c",
            [("a", "b", "several_outputs"), ("a", "c", "several_outputs")],
        ),
        ("Input: a\nOutput: b\nInput: a\nOutput: b", [("a", "b", ""), ("a", "b", "duplicate")]),
        ("```json\n{}\n```", "no_instance"),
        ("Input: a", "no_instance"),
    ],
)
def test_instances_are_read_with_what_is_wrong_with_them(text: str, expected: object) -> None:
    assert faults(text) == expected


def test_a_refusal_is_no_output() -> None:
    text = "I'm sorry, but I cannot do that."
    assert faults(f"Input: a\nOutput: {text}") == [("a", text, "refusal")]


def test_a_label_comes_before_its_input() -> None:
    text = "Class label: good\nInput: a\nClass label: bad\nInput: b\nClass label: worse"
    assert faults(text, label_first=True) == [("a", "good", ""), ("b", "bad", "")]
    assert faults("Input: a\nOutput: b", label_first=True) == "no_instance"
    assert TaskInstance("a", "b") == TaskInstance("a", "b", "")
