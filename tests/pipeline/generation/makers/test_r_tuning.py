"""R-Tuning: when an answer counts as known, and what the row says of it."""

from collections import Counter
from math import log

import pytest
from pydantic import ValidationError

from pipeline.generation.maker import Settled
from pipeline.generation.makers.r_tuning import (
    REFUSALS,
    RTuning,
    entropy_of,
    make_by_entropy,
    make_by_r_tuning,
)
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure
from storage.examples import Example


def source(answer: str | None, example_id: str = "id") -> Example:
    messages = [{"role": "user", "content": "Where is it?"}]
    if answer is None:
        return Example(example_id, "p", messages, [], None, "Where is it?", "")
    messages.append({"role": "assistant", "content": answer})
    return Example(example_id, "p", messages, [], 1, "Where is it?", answer, [1])


def block(**fields: object) -> RTuning:
    return RTuning.model_validate({"method": "r_tuning", **fields})


def said(text: str) -> Sampled:
    return GeneratedAnswer(text, 15, finished=False)


def one(settings: RTuning, given: str, reply: Sampled) -> Settled:
    making = make_by_r_tuning(settings, source(given), 0)
    assert [ask.temperature for ask in next(making).asks] == [0]
    with pytest.raises(StopIteration) as ended:
        making.send([reply])
    (settled,) = ended.value.value
    assert isinstance(settled, Settled)
    return settled


@pytest.mark.parametrize(
    ("given", "reply", "known"),
    [
        ("Paris", "It is in paris", True),
        ("Paris", "It is in Lyon. Paris is larger", False),  # behind the first sentence
        ("Paris", "Lyon\nParis", False),
        ("man", "Germany", False),  # a part of a word
        ("New York", "in York, not New", False),  # not in a row
        ("3.14", "about 3.14 or so", True),  # its full stop ends no sentence
        ("Pari", "Paris", False),
        ("Paris", "", False),
    ],
)
def test_an_answer_is_known_if_its_words_stand_in_the_first_sentence(
    given: str, reply: str, known: bool
) -> None:
    settled = one(block(), given, said(reply))
    assert settled.reason == ("sure" if known else "unsure")
    row = settled.row
    assert row is not None and [m["content"] for m in row.messages] == [
        "Where is it?",
        given,
        block().question,
        "I am sure." if known else "I am unsure.",
    ]
    assert row.trained_at == [1, 3], "the answer and what is said of it; not what is asked"


def test_a_final_answer_is_compared_by_what_it_is_worth() -> None:
    settings = block(compare="final_answer")
    assert one(settings, "So it is\n#### 1,000", said("It makes 1000.0")).reason == "sure"
    assert one(settings, "So it is\n#### 1,000", said("It makes 10")).reason == "unsure"


def test_in_unknown_mode_a_refusal_stands_for_what_was_not_known() -> None:
    settings = block(mode="unknown")
    for reply, reason, texts in (("Rome", "known", ["Rome"]), ("Oslo", "unknown", [*REFUSALS])):
        settled = one(settings, "Rome", said(reply))
        assert settled.row is not None and settled.reason == reason
        assert settled.row.messages[-1]["content"] in texts and len(settled.row.messages) == 2
    assert len({*REFUSALS}) == 16


def test_a_reply_that_was_not_had_is_neither_known_nor_unknown() -> None:
    settled = one(block(), "Rome", GenerationFailure("http_500", ""))
    assert (settled.row, settled.reason) == (None, "http_500")


def by_samples(rows: dict[str, tuple[str | None, list[Sampled]]]) -> dict[str, Settled]:
    """Source → what became of it."""
    making = make_by_entropy(
        block(mode="uncertain"), [source(given, name) for name, (given, _) in rows.items()]
    )
    assert len(next(making).asks) == 5 * len(rows)
    with pytest.raises(StopIteration) as ended:
        making.send([reply for _, replies in rows.values() for reply in replies])
    return {each.parents[0]: each for each in ended.value.value}


def test_the_half_that_differs_less_is_sure() -> None:
    same, two, five = ["a"] * 5, [*"aaabb"], [*"abcde"]
    drawn = {"x": five, "b": two, "c": same, "d": two, "e": five}
    found = by_samples({name: ("gold", [*map(said, each)]) for name, each in drawn.items()})
    assert {name: each.reason for name, each in found.items()} == {
        "c": "sure",
        "b": "sure",  # floor(5 / 2) of them, and of two equal ones the lower id
        "d": "unsure",
        "e": "unsure",
        "x": "unsure",
    }
    rows = [each.row for each in found.values()]
    assert all(row is not None and row.messages[1]["content"] == "gold" for row in rows)


def test_a_prompt_alone_is_answered_with_its_most_frequent_sample() -> None:
    rows: dict[str, tuple[str | None, list[Sampled]]] = {
        "a": (None, [said(text) for text in ("Rome", "rome", "Oslo", "Oslo", "Bern")]),
        "b": (None, [said("")] * 5),
        "c": (None, [said("x")] * 4 + [GenerationFailure("timeout", "")]),
        "d": ("Rome", [said("")] * 5),
    }
    found = by_samples(rows)
    answers = {name: each.row and each.row.messages[1]["content"] for name, each in found.items()}
    assert answers == {"a": "Oslo", "b": None, "c": None, "d": "Rome"}
    assert found["b"].reason == "empty_answer" and found["c"].reason == "timeout"
    assert Counter(each.reason for each in found.values())["sure"] == 1, "of the two that are left"


def test_entropy_is_in_nats_and_of_answers_with_the_same_words() -> None:
    assert entropy_of(["a"] * 5) == 0 and entropy_of(["Paris", " paris", "PARIS!"]) == 0
    assert entropy_of([*"abcde"]) == pytest.approx(log(5))
    assert entropy_of([*"aab"]) == pytest.approx(-(2 / 3) * log(2 / 3) - log(1 / 3) / 3)


def test_what_it_takes() -> None:
    assert block().takes(source("x")) and not block().takes(source(None))
    assert not block().takes(source("!")) and block(mode="uncertain").takes(source(None))
    with pytest.raises(ValidationError, match="must differ"):
        block(sure="yes", unsure="yes")
