"""The marks of prompts: what is missing and what nothing is filled in for, by name."""

from pipeline.generation.placeholders import PLACEHOLDERS, fault_of_marks


def test_marks_that_are_missing_are_told_before_those_that_are_unknown() -> None:
    assert fault_of_marks("augcon_answer", {"question", "text"}) == ""
    told = fault_of_marks("augcon_answer", {"question", "tetx"})
    assert told == "makers/prompts/augcon_answer.txt has no $text: write it where that shall stand"
    told = fault_of_marks("augcon_shots", {"b", "a"})
    assert told == "makers/prompts/augcon_shots.txt is filled with nothing for $a, $b: take it out"
    assert PLACEHOLDERS["augcon_shots"] == frozenset()
