"""Pseudo-labels: all views agree, are sure enough, and no label becomes too frequent."""

from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.generation.maker import Settled
from pipeline.generation.makers.pseudo_labels import (
    Labelled,
    PseudoLabels,
    make_by_pseudo_labels,
    within_shares,
)
from scorers.measures.protocols import GeneratedAnswer, OneOf
from storage.conversations import Conversation
from storage.examples import Example


def row(prompt: str, label: str = "", name: str = "") -> Example:
    turns = [{"role": "user", "content": prompt}]
    if label:
        turns.append({"role": "assistant", "content": label})
    said = Conversation(turns, [])
    at = 1 if label else None
    return Example(
        name or said.example_id, said.prompt_id, turns, [], at, prompt, label, [1] if label else []
    )


def settings(**given: object) -> PseudoLabels:
    return PseudoLabels.model_validate(
        {"method": "pseudo_labels", "labels": ["good", "bad"], "drift": 1, **given}
    )


def label_all(
    block: PseudoLabels, rows: list[Example], told: Mapping[str, list[GeneratedAnswer]]
) -> list[Settled]:
    """What becomes of rows where the model says so of each prompt, view after view."""
    making = make_by_pseudo_labels(block, rows, 0)
    wanted = next(making)
    assert all(ask.form == OneOf(("good", "bad")) for ask in wanted.asks)
    replies = []
    for ask in wanted.asks:
        view = int(ask.stage.split()[1]) - 1
        prompt = str(ask.messages[-1]["content"]).split("\n")[0]
        replies.append(told[prompt][view])
    with pytest.raises(StopIteration) as ended:
        making.send(replies)
    settled: list[Settled] = ended.value.value
    asked = [place for each in settled for place in each.replies]
    assert sorted(asked) == sorted(ask.place for ask in wanted.asks), "each is settled once"
    return settled


def says(text: str, sure: float | None = 0.9) -> GeneratedAnswer:
    other = {"good": "bad", "bad": "good"}.get(text, "bad")
    # of all that the model might say, half is a label
    options = None if sure is None else {text: sure / 2, other: (1 - sure) / 2}
    return GeneratedAnswer(text, 1, finished=True, options=options)


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ([says("good"), says("good", 0.8)], "good"),
        ([says(" Good. "), says("good")], "good"),
        ([says("good"), says("good", 0.79)], "unsure"),
        ([says("good"), says("bad")], "views_differ"),
        ([says("good"), says("neither")], "no_label"),
        ([says("good"), says("good", None)], "no_confidence"),
        (
            [says("good"), GeneratedAnswer("good", 1, True, options={"good": 0.0, "bad": 0.0})],
            "no_confidence",
        ),
        ([says("good"), GeneratedAnswer("good", 1, finished=False)], "cut_off"),
    ],
)
def test_what_becomes_of_what_the_views_say(replies: list[GeneratedAnswer], outcome: str) -> None:
    # " Good. " is the label by its words, and its probability is that of the label
    replies = [
        GeneratedAnswer(each.text, 1, each.finished, options={"good": 0.9, "bad": 0.1})
        if each.text == " Good. "
        else each
        for each in replies
    ]
    block = settings(views=["one?", "two?"])
    (settled,) = label_all(block, [row("p")], {"p": replies})
    assert settled.reason == outcome
    if outcome == "good":
        assert settled.row is not None
        assert [turn["content"] for turn in settled.row.messages] == ["p", "good"]
    else:
        assert settled.row is None


def test_a_server_that_tells_no_probabilities_is_believed_where_none_are_asked_for() -> None:
    (settled,) = label_all(settings(confidence=0), [row("p")], {"p": [says("bad", None)]})
    assert settled.reason == "bad" and settled.row is not None


def test_a_labelled_prompt_gets_no_label_and_is_counted_when_it_is_audited() -> None:
    rows = [row("a", "good"), row("a"), row("b", "bad"), row("c", "good")]
    told = {"a": [says("good")], "b": [says("good")], "c": [says("bad", 0.5)]}
    settled = label_all(settings(), rows, told)
    assert sorted(each.reason for each in settled) == [
        "audited_out",
        "audited_right",
        "audited_wrong",
        "labelled_already",
    ]
    assert not any(each.row for each in settled)
    none = label_all(settings(audit=0), rows, told)
    assert [each.reason for each in none] == ["labelled_already"]


def test_how_often_labels_are_right_is_said_in_rows_with_an_interval() -> None:
    block = settings(views=["one?", "two?"])
    counts = {"dropped audited_right": 18, "dropped audited_wrong": 2, "dropped unsure": 7}
    assert block.notes_of(counts) == [
        "of 10 labelled rows that got a label, 9 got their own: 90% [60%, 98%]"
    ]
    (unknown,) = block.notes_of({"kept good": 4, "dropped audited_out": 2})
    assert "is not known" in unknown


def labelled(number: int, label: str, sure: float) -> Labelled:
    return Labelled(row(f"p{number}", name=f"{number:03}"), [], label, sure, "")


def test_the_surest_of_a_label_stay_up_to_its_share() -> None:
    found = [labelled(n, "good", n / 10) for n in range(6)]
    found += [labelled(6 + n, "bad", 0.5) for n in range(2)]
    even = {"good": 5, "bad": 5}
    # at most 0.6 of the kept are good: with 2 bad ones that is 3 of 5
    assert within_shares(found, even, 0.1) == {"003", "004", "005", "006", "007"}
    assert within_shares(found, even, 0) == {"004", "005", "006", "007"}
    assert len(within_shares(found, even, 1)) == len(within_shares(found, {}, 0)) == 8


def test_of_equally_sure_rows_the_lower_id_stays() -> None:
    found = [labelled(n, "good", 0.5) for n in (3, 1, 2)] + [labelled(4, "bad", 0.5)]
    assert within_shares(found, {"good": 1, "bad": 1}, 0) == {"001", "004"}


@given(
    st.lists(st.sampled_from("abc"), max_size=14),
    st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any),
    st.sampled_from([0, 0.05, 0.1, 0.3]),
)
def test_no_share_is_above_what_it_may_be_and_no_larger_choice_is_within(
    labels: list[str], counts: list[int], drift: float
) -> None:
    found = [labelled(n, label, 0.5) for n, label in enumerate(labels)]
    priors = dict(zip("abc", counts, strict=True))
    most = {label: Fraction(priors[label], sum(counts)) + Fraction(str(drift)) for label in "abc"}
    kept = within_shares(found, priors, drift)
    by_id = {each.source.example_id: each.label for each in found}
    chosen = [by_id[name] for name in kept]
    assert all(chosen.count(label) <= most[label] * len(chosen) for label in "abc")
    has = [labels.count(label) for label in "abc"]
    sizes = [
        a + b + c
        for a in range(has[0] + 1)
        for b in range(has[1] + 1)
        for c in range(has[2] + 1)
        if all(
            each <= most[label] * (a + b + c) for label, each in zip("abc", (a, b, c), strict=True)
        )
    ]
    assert len(chosen) == max(sizes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": ["good", "Good."]}, "differ by their words"),
        ({"labels": ["good", " "]}, "labels must differ"),
        ({"labels": ["good"]}, "at least 2"),
        ({"views": ["one?", "one?"]}, "same question"),
    ],
)
def test_labels_and_views_that_cannot_be_told_apart_are_refused(
    wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**wrong)
