"""Orca: a drawn system message is asked with and stays in the row; what goes, and why."""

from collections import Counter

import pytest

from pipeline.generation.makers.orca import Orca, draw_system, make_by_orca
from pipeline.generation.verifiers.final_answer import FinalAnswer
from scorers.measures.protocols import GeneratedAnswer
from tests.pipeline.generation.verifiers.given import row

SETTINGS = Orca(method="orca")

SUM = row("What is 2 plus 5?", "#### 7")

SYSTEM = "You give reasons for whatever you say to anybody at all."


def made(answer: str, settings: Orca = SETTINGS) -> tuple[str, list[str]]:
    """Why, and the texts of the row."""
    making = make_by_orca(settings, SUM, SYSTEM)
    (ask,) = next(making).asks
    assert [each["content"] for each in ask.messages] == [SYSTEM, "What is 2 plus 5?"]
    with pytest.raises(StopIteration) as ended:
        making.send([GeneratedAnswer(answer, 3, True)])
    (settled,) = ended.value.value
    return settled.reason, [str(m["content"]) for m in settled.row.messages] if settled.row else []


def test_a_row_has_the_system_message_and_the_explained_answer() -> None:
    told = "Two and five more are 7."
    assert made(f" {told}\n") == ("explained", [SYSTEM, "What is 2 plus 5?", told])


def test_what_explains_nothing_goes() -> None:
    assert made(f"Reasons. {SYSTEM.lower()}")[0] == "repeats_system"
    assert made("I'm sorry, but I cannot help.")[0] == "refusal"
    assert made("And so it is.")[0] == "no_content"


def test_with_a_verifier_only_what_ends_on_the_given_answer_stays() -> None:
    checked = SETTINGS.model_copy(update={"verify": (FinalAnswer(),)})
    assert made("Five and two: #### 7", checked)[0] == "explained"
    assert made("Five and two: #### 8", checked)[0] == "wrong_answer"
    assert not checked.takes(row("What is 2 plus 5?")) and SETTINGS.takes(row("What is 2?"))


def test_system_messages_are_drawn_by_row_and_seed() -> None:
    rows = [row(f"What is {n}?") for n in range(400)]
    drawn = Counter(draw_system(SETTINGS, each, 3) for each in rows)
    assert len(drawn) == 8 and min(drawn.values()) > 25
    assert [draw_system(SETTINGS, each, 3) for each in rows[:9]] != [
        draw_system(SETTINGS, each, 4) for each in rows[:9]
    ]
    own = SETTINGS.model_copy(update={"systems": (SYSTEM,)})
    assert draw_system(own, SUM, 3) == SYSTEM
