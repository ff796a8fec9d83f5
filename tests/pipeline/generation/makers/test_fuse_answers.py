"""Fused answers: no fact is lost, none comes from nowhere, and the given answer stays otherwise."""

import pytest

from pipeline.generation.makers.fuse_answers import (
    FuseAnswers,
    facts_of,
    fault_of_fused,
    holds,
    make_by_fuse_answers,
    plain_number,
    stand_side_by_side,
)
from scorers.measures.protocols import GeneratedAnswer
from storage.examples import Example

GIVEN = 'Opened in 1,204 by "The Two Friends", see https://a.example/x?y=1.'
OWN = "It was a long time ago, in 1300, that the inn was opened by friends of one another."
FUSED = "The inn was opened in 1204 by the two friends; https://a.example/x?y=1 tells of it."
SOURCE = Example(
    "id",
    "prompt",
    [
        {"role": "user", "content": "Who opened inn 7, and when?"},
        {"role": "assistant", "content": GIVEN},
    ],
    [],
    1,
    "Who opened inn 7, and when?",
    GIVEN,
    [1],
)
ALONE = FuseAnswers.model_validate({"method": "fuse_answers", "verify": []})


def fuse(*replies: str, settings: FuseAnswers = ALONE) -> tuple[str, str, list[str]]:
    """What was settled of the replies, what the row says, and the stages that were asked."""
    making = make_by_fuse_answers(settings, SOURCE)
    stages, given = [], iter(replies)
    try:
        wanted = next(making)
        while True:
            stages += [ask.stage for ask in wanted.asks]
            wanted = making.send(
                [GeneratedAnswer(next(given), 1, finished=True) for _ in wanted.asks]
            )
    except StopIteration as ended:
        rows = [each.row for each in ended.value if each.row]
        assert len(rows) == 1, "one row for each"
        assert [place[0] for each in ended.value for place in each.replies] == stages
        return ended.value[0].reason, rows[0].messages[-1]["content"], stages


def test_a_fused_answer_takes_the_place_of_the_given_one() -> None:
    assert fuse(OWN, FUSED) == ("fused", FUSED, ["own", "fused"])


def test_an_answer_that_is_the_given_one_is_not_fused() -> None:
    assert fuse(f" {GIVEN}\n") == ("copy_of_given", GIVEN, ["own"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (FUSED, ""),
        (FUSED.replace("1204", "long ago"), "fact_lost"),
        (FUSED.replace("two friends", "two brothers"), "fact_lost"),
        (FUSED.replace("x?y=1", "x"), "fact_lost"),
        (f"{FUSED} That is 800 years.", "fact_invented"),
        (f"{FUSED} It is called «Old Barn».", "fact_invented"),
        (f"{FUSED} It is https://b.example now.", "fact_invented"),
        (f"{FUSED} It is inn 7, not of 1300.", ""),  # of the prompt, and of the model's answer
        (f"{FUSED} So «the inn was opened».", ""),
        (f"{FUSED} The text says so.", ""),  # of a prompt that a reader sees too
        (f"{GIVEN} {OWN}", "side_by_side"),
        (GIVEN.lower(), "copy_of_given"),
        (f"{FUSED} So the first answer says.", "speaks_of_answers"),
        (f"{FUSED} I cannot help with that as an AI language model.", "refusal"),
    ],
)
def test_what_is_wrong_with_a_fused_answer(text: str, fault: str) -> None:
    assert fault_of_fused(ALONE, SOURCE, OWN, text) == fault
    reason, row, _ = fuse(OWN, text)
    assert (reason, row) == ((fault, GIVEN) if fault else ("fused", text))


def test_a_judge_has_the_last_word_and_is_settled_with_what_it_judged() -> None:
    judged = FuseAnswers(method="fuse_answers")
    assert fuse(OWN, FUSED, "yes", settings=judged)[:2] == ("fused", FUSED)
    reason, row, stages = fuse(OWN, FUSED, "no", settings=judged)
    assert row == GIVEN and reason != "fused" and len(stages) == 3


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("1,204", "1204"),
        ("1,204,000.50", "1204000.5"),
        ("1 204".replace(" ", "\u202f"), "1204"),
        ("12,50", "12.5"),
        ("007", "7"),
        ("0.0", "0"),
        ("100", "100"),
        ("12.05.2020", "12.05.2020"),
        ("1,20,4", "1.20.4"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(written: str, plain: str) -> None:
    assert plain_number(written) == plain
    assert facts_of(f"it is {written}.") == {plain}


def test_facts_are_numbers_addresses_and_quotes() -> None:
    assert facts_of('v2 of x3: "Tom  Jones", on 3 May (https://a.b/7).') == {
        "3",
        "tom jones",
        "https://a.b/7",
    }


def test_an_answer_that_says_what_the_given_one_does_may_be_the_fused_one() -> None:
    own = "The capital of France is Paris."
    assert not stand_side_by_side(own, "Paris", own)
    assert stand_side_by_side(f"Paris. {own}", "Paris", own)
    assert stand_side_by_side(f"{own} {GIVEN}", GIVEN, own)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("Caspian Sea", "fact_lost"),
        ("Black Sea!", ""),
        ("one of the seas there", "fact_lost"),  # five words
        ("one of the seas over there", ""),  # six: no name
    ],
)
def test_a_short_answer_is_a_fact_as_a_whole(given: str, fault: str) -> None:
    turns = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": given}]
    source = Example("id", "prompt", turns, [], 1, "Where?", given, [1])
    text = "The Volga flows into the Black Sea."
    assert fault_of_fused(ALONE, source, OWN, text) == fault


def test_a_text_holds_another_if_it_has_nine_in_ten_of_its_runs() -> None:
    words = [f"w{n}" for n in range(12)]  # 10 runs of three
    assert holds(" ".join(words[:11]), " ".join(words)), "9 of 10"
    assert not holds(" ".join(words[:10]), " ".join(words)), "8 of 10"
    assert holds("so it is yes", "Yes!") and not holds("so it is", "yes")
