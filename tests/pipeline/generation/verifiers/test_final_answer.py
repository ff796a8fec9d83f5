from pipeline.generation.verifiers.final_answer import FinalAnswer
from tests.pipeline.generation.verifiers.given import faults, row


def test_answers_are_compared_by_what_they_end_on() -> None:
    source = row("6 * 7?", "six sevens\n#### 42")
    told = faults(FinalAnswer(), source, "so 42.0", "it is 41", "I cannot say", "#### 42 km")
    assert told == ["", "wrong_answer", "no_answer", "wrong_answer"]
    assert faults(FinalAnswer(units=("km",)), source, "#### 42 km") == [""]


def test_rows_without_an_answer_are_not_taken() -> None:
    assert FinalAnswer().takes(row("a", "#### 42"))
    assert not FinalAnswer().takes(row("a", "who knows")) and not FinalAnswer().takes(row("a"))
    marked = FinalAnswer(marker="Answer>")
    assert marked.trusted(row("a", "12 Answer> 7")) == "7" and not marked.takes(row("a", "#### 1"))
