"""A prompt comes back in other words with its answer; what went wrong on the way ends the trip."""

import pytest

from pipeline.generation.maker import Ask, Settled
from pipeline.generation.makers.round_trip import RoundTrip, fault_of_translation, fault_of_trip
from scorers.measures.protocols import GeneratedAnswer
from tests.pipeline.generation.verifiers.given import row

GIVEN = "Which 2 dishes did the cook of the old inn serve to all the guests of the wedding?"
THERE = "Quels 2 plats le cuisinier de la vieille auberge a-t-il servis aux invités du mariage ?"
BACK = "What 2 plates did the old inn's chef serve to the guests at the wedding?"


def travel(*replies: str, **fields: object) -> tuple[list[Settled], list[Ask]]:
    """What comes of a prompt whose calls are answered so, and what was asked."""
    settings = RoundTrip.model_validate({"method": "round_trip", **fields})
    source = row(GIVEN, "question")
    making = settings.makings([source], 0)[source.example_id]
    asked: list[Ask] = []
    given = iter(replies)
    try:
        wanted = next(making)
        while True:
            asked += wanted.asks
            wanted = making.send([GeneratedAnswer(next(given), 1, True) for _ in wanted.asks])
    except StopIteration as ended:
        assert next(given, None) is None, "it asks less"
        settled: list[Settled] = list(ended.value)
        places = [place for each in settled for place in each.replies]
        assert sorted(places) == sorted(ask.place for ask in asked)
        return settled, asked


def test_a_row_is_what_came_back_with_the_answer_of_the_prompt() -> None:
    (settled,), asked = travel(THERE, f" {BACK}\n", verify=[])
    assert settled.row is not None and settled.reason == "French"
    assert [turn["content"] for turn in settled.row.messages] == [BACK, "question"]
    there, back = (str(ask.messages[0]["content"]) for ask in asked)
    assert f"\n{GIVEN}\n" in there and "into French" in there
    assert f"\n{THERE}\n" in back and "into English" in back


def test_each_of_both_texts_must_follow_from_the_other() -> None:
    (settled,), asked = travel(THERE, BACK, "supported", "supported")
    assert settled.row is not None
    first, second = (str(ask.messages[0]["content"]) for ask in asked[2:])
    assert first.startswith(f"Text:\n{GIVEN}\n") and f"judged:\n{BACK}\n" in first
    assert second.startswith(f"Text:\n{BACK}\n") and f"judged:\n{GIVEN}\n" in second
    (settled,), _ = travel(THERE, BACK, "supported", "missing")
    assert (settled.row, settled.reason) == (None, "missing")
    (settled,), _ = travel(THERE, BACK, "contradicted")
    assert (settled.row, settled.reason) == (None, "contradicted")


def test_languages_are_trips_by_themselves() -> None:
    other = BACK.replace("chef", "cook")
    settled, asked = travel(
        THERE, THERE, BACK, other, through=["French", "German"], language="Dutch", verify=[]
    )
    assert [each.reason for each in settled] == ["French", "German"]
    assert [each.row.messages[0]["content"] for each in settled if each.row] == [BACK, other]
    told = [str(ask.messages[0]["content"]) for ask in asked]
    assert ["German" in each for each in told] == [False, True, False, False]
    assert ["Dutch" in each for each in told] == [False, False, True, True]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (THERE, ""),
        (GIVEN, "not_translated"),
        (GIVEN.replace("dishes", "plates"), "not_translated"),
        ("Quels 2 plats ?", ""),  # too short to tell its language
        ("?!", "no_content"),
        (f"{THERE} I'm sorry, but I cannot help with that.", "refusal"),
    ],
)
def test_what_is_no_translation_ends_the_trip(text: str, fault: str) -> None:
    assert fault_of_translation(text, GIVEN) == fault
    (settled,), _ = travel(text, *([] if fault else [BACK]), verify=[])
    assert settled.reason == (fault or "French")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (BACK, ""),
        (GIVEN.upper(), "unchanged"),
        (THERE.replace("plats", "mets"), "other_language"),
        (BACK.replace("2", "3"), "fact_changed"),
        (BACK.replace("2 plates", "plates"), "fact_changed"),
        (BACK.replace("?", "."), "answered"),
        ("Which 2 dishes did he serve to guests?", "other_length"),  # 8 of 17 words
        ("Which 2 dishes did he serve to the guests?", ""),
        (f"{BACK[:-1]} " + "and to those of us who came " * 4 + "?", "other_length"),
        (f"{BACK} Do not answer what it asks. Reply with the translation?", "repeats_prompt"),
    ],
)
def test_what_came_back_must_be_the_prompt_in_other_words(text: str, fault: str) -> None:
    assert fault_of_trip(text, THERE, GIVEN) == fault


def test_a_way_back_that_says_the_translation_again_is_none() -> None:
    # Names alone are of no language.
    assert fault_of_translation("Bell Ada", "Ada Bell") == ""
    assert fault_of_trip("Ada Bell?", "Ada Bell ?", "Bell, Ada?") == "not_translated"


def test_code_is_not_taken() -> None:
    settings = RoundTrip(method="round_trip")
    assert settings.takes(row(GIVEN, "question"))
    assert not settings.takes(row("Say what this does:\n```\nx += 1\n```", "it counts"))
    assert not settings.takes(row(GIVEN))
