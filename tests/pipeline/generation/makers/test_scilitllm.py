"""SciLitLLM: which passages stay, which repairs are taken, and which questions become rows."""

import json
from collections.abc import Callable

import pytest

from pipeline.generation.maker import Ask, Settled, Unread
from pipeline.generation.maker_block import WHOLE_POOL
from pipeline.generation.makers.scilitllm import (
    ASPECTS,
    SciLitLLM,
    fault_of_repair,
    lowest_rated,
    read_mean,
    read_rating,
)
from scorers.measures.protocols import GeneratedAnswer
from storage.documents import SourcePassage

PASSAGES = [
    SourcePassage(name * 4, "document", [], 0, len(text), text)
    for name, text in (
        ("a", "Yeast breathes out the gas that makes bread rise."),
        ("b", "Home | Contact | Imprint"),
        ("c", "The Rhine ends in the North Sea after 1233 kilometres."),
        ("d", "Bees keep their hive at thirty-five degrees."),
    )
]


def said(text: str) -> GeneratedAnswer:
    return GeneratedAnswer(text, 3, finished=True)


def block(**fields: object) -> SciLitLLM:
    given = {"method": "scilitllm", "tasks": ["true_false"], "instructions": 2, "keywords": 3}
    return SciLitLLM.model_validate({**given, **fields})


def answer(ask: Ask) -> str:
    """All passages but b are good, texts stay as they are, and each question is another."""
    text = text_of(ask)
    kind = ask.stage.partition(" ")[0]
    if kind == "quality":
        return "0" if "Imprint" in text else "4"
    if kind == "repair":
        return text.partition("Text:\n")[2].partition("\n\nWrite")[0]
    if kind == "aspects":
        return json.dumps(dict.fromkeys(ASPECTS, 4))
    return json.dumps({"text": f"{ask.attempt}: {'xyz'[ask.attempt] * 9}?", "answer": "True"})


def text_of(ask: Ask) -> str:
    return str(ask.messages[-1]["content"])


def run(settings: SciLitLLM, say: Callable[[Ask], str] = answer) -> tuple[list[Settled], list[Ask]]:
    making = settings.makings(PASSAGES, 3)[WHOLE_POOL]
    settled: list[Settled] = []
    asked: list[Ask] = []
    wanted = next(making)
    try:
        while True:
            asked += wanted.asks
            settled += wanted.settled
            wanted = making.send([said(say(ask)) for ask in wanted.asks])
    except StopIteration as ended:
        return [*settled, *ended.value], asked


def reasons(settled: list[Settled]) -> list[str]:
    return [each.reason for each in settled]


def test_the_worst_passages_go_and_the_words_of_the_others_are_asked_with() -> None:
    settled, asked = run(block())
    assert reasons(settled) == [
        *("passage", "low_quality", "passage", "passage"),
        *("repaired", "repaired", "repaired"),
        *("true_false", "true_false"),
    ]
    asks = [text_of(ask) for ask in asked if ask.stage.startswith("instruction")]
    words = [text.partition("in it: ")[2].partition(". It")[0].split(", ") for text in asks]
    assert all(len({*each}) == 3 for each in words) and words[0] != words[1]
    known = " ".join(each.text.lower() for each in PASSAGES if each.passage_id != "bbbb")
    assert all(word in known for each in words for word in each)
    named = {each.passage_id: each.text.lower() for each in PASSAGES}
    for drawn, each in zip(words, settled[-2:], strict=True):
        assert each.row is not None and "bbbb" not in each.parents
        assert {word for word in drawn if any(word in named[p] for p in each.parents)} == {*drawn}
        assert all(any(word in named[p] for word in drawn) for p in each.parents)


def test_exactly_the_share_goes_and_of_equal_ratings_the_lowest_ids() -> None:
    ratings = {"d": 2, "b": 3, "a": 3, "c": 3, "e": 5}
    assert lowest_rated(ratings, 0.4) == {"d", "a"}
    assert lowest_rated(ratings, 0.39) == {"d"} and lowest_rated(ratings, 0) == set()


def test_a_rating_that_cannot_be_read_is_not_the_worst() -> None:
    def unclear(ask: Ask) -> str:
        return "as good as it gets" if "Rhine" in text_of(ask) else answer(ask)

    settled, asked = run(block(drop_lowest=0.34, repair=False, retries=2, keywords=50), unclear)
    assert reasons(settled)[:4] == ["passage", "low_quality", "unparsed_rating", "passage"]
    assert len(settled[2].replies) == 3, "it was asked for three times"
    assert not any("rhine" in text_of(ask) for ask in asked if "instruction" in ask.stage)


@pytest.mark.parametrize(
    ("text", "rating"),
    [("4", 4), (" 0.", 0), ("6", None), ("4 or 5", None), ("four", None), ("", None)],
)
def test_a_rating_is_one_number_from_0_to_5(text: str, rating: int | None) -> None:
    read = read_rating(said(text))
    assert read == rating if rating is not None else isinstance(read, Unread)


@pytest.mark.parametrize(
    ("repaired", "fault"),
    [
        ("It took 12 years to build the bridge.", ""),
        ("it took 12 years to build a bridge", ""),
        ("It took 12 years.", "other_length"),
        ("It took 12 years to build the bridge over the river there.", "other_length"),
        ("It took 13 years to build the bridge.", "other_numbers"),
        ("Nobody knows why 12 men went away so", "other_text"),
    ],
)
def test_a_repair_may_change_no_more_than_spelling(repaired: str, fault: str) -> None:
    assert fault_of_repair("It took 12 ye ars to build the br idge.", repaired) == fault


def test_a_repair_that_is_none_leaves_the_passage_as_it_was() -> None:
    def wrong(ask: Ask) -> str:
        return "Sorry." if ask.stage == "repair aaaa" else answer(ask)

    settled, asked = run(block(keywords=50), wrong)
    assert reasons(settled)[4:7] == ["other_length", "repaired", "repaired"]
    assert all("yeast" in text_of(ask) for ask in asked if ask.stage.startswith("instruction"))


def test_the_mean_is_taken_of_five_whole_numbers_and_at_the_bound_a_row_stays() -> None:
    marks = dict.fromkeys(ASPECTS, 4)
    assert read_mean(said(json.dumps(marks))) == 4.0
    for wrong in (
        {"clarity": 4},
        marks | {"total": 20},
        marks | {"clarity": 6},
        marks | {"clarity": 3.5},
    ):
        assert isinstance(read_mean(said(json.dumps(wrong))), Unread), wrong

    def lower(ask: Ask) -> str:
        low = ask.stage == "aspects true_false 1"
        return json.dumps(marks | {"clarity": 3}) if low else answer(ask)

    settled, _ = run(block(repair=False), lower)
    assert reasons(settled)[4:] == ["true_false", "low_mean"]


def test_the_same_question_twice_is_one_row_and_is_rated_once() -> None:
    def same(ask: Ask) -> str:
        stage = ask.stage.partition(" ")[0]
        written = json.dumps({"text": "Is it so?", "answer": "True"})
        return written if stage == "instruction" else answer(ask)

    settled, asked = run(block(repair=False, tasks=["true_false", "multiple_choice"]), same)
    assert reasons(settled)[4:] == ["alike", "alike", "true_false", "multiple_choice"], "by kind"
    assert sum(ask.stage.startswith("aspects") for ask in asked) == 2


def test_the_judge_sees_the_answer() -> None:
    _, asked = run(block(repair=False))
    rated = [text_of(ask) for ask in asked if ask.stage.startswith("aspects")]
    assert all("Answer:\nTrue\n" in text for text in rated)


def test_what_is_no_question_is_named() -> None:
    def empty(ask: Ask) -> str:
        if not ask.stage.startswith("instruction"):
            return answer(ask)
        return '{"text": "Is it so?", "answer": " "}' if ask.attempt else "Is it so?"

    assert reasons(run(block(repair=False), empty)[0])[4:] == ["no_json", "empty_answer"]
