"""SELF-GUIDE: which inputs and outputs pass, and what a row of them is."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from pipeline.generation.maker import Ask, Settled, Unread
from pipeline.generation.makers.self_guide import (
    SelfGuide,
    TaskInputs,
    ask_input,
    choose_output,
    make_by_self_guide,
    read_output,
)
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure
from storage.examples import Example


def source(asked: str, answer: str) -> Example:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return Example(f"id {asked}", "p", messages, [], 1, asked, answer, [1])


SOURCES = [source("a good film", "good"), source("a dull book", "bad"), source("fine!", "good")]


def block(**fields: object) -> SelfGuide:
    return SelfGuide.model_validate(
        {"method": "self_guide", "instruction": "Is it praise?", "samples": 4, **fields}
    )


def said(*texts: str) -> list[Sampled]:
    return [GeneratedAnswer(text, 3, finished=True) for text in texts]


def run(settings: SelfGuide, inputs: Sequence[str], outputs: Mapping[str, str]) -> list[Settled]:
    """What comes of these inputs in order, and of each one's output."""
    making = make_by_self_guide(settings, SOURCES, 0)
    given = iter(inputs)
    settled: list[Settled] = []

    def answer(ask: Ask) -> Sampled:
        text = str(ask.messages[-1]["content"])
        if ask.stage == "input":
            return said(next(given))[0]
        return said(outputs[text.split("\n\n")[1]])[0]

    wanted = next(making)
    with pytest.raises(StopIteration) as ended:
        while True:
            settled += wanted.settled
            wanted = making.send([answer(ask) for ask in wanted.asks])
    return [*settled, *ended.value.value]


def test_rows_are_of_new_inputs_and_the_output_that_agrees() -> None:
    settled = run(
        block(epochs=2, inputs_each=2),
        ["a good film", "a nice day", "a nice day", "a wet day"],
        {"a nice day": "good", "a wet day": "bad"},
    )
    reasons = [each.reason for each in settled]
    assert reasons == ["duplicate", "output", "duplicate", "output"]
    rows = [each.row for each in settled if each.row]
    assert [row.messages[-1]["content"] for row in rows] == ["good", "bad"]
    assert [m["content"] for m in rows[0].messages[:3]] == [
        "Is it praise?\n\na good film",
        "good",
        "Is it praise?\n\na dull book",
    ]
    assert rows[0].trained_at == [7] and all(len(each.parents) == 3 for each in settled)
    (bare,) = (
        each.row
        for each in run(
            block(epochs=1, inputs_each=1, examples_in_prompt=False), ["x"], {"x": "good"}
        )
    )
    assert bare is not None and [m["content"] for m in bare.messages] == [
        "Is it praise?\n\nx",
        "good",
    ]


def test_labels_are_balanced_exactly_and_the_wished_for_one_is_forgotten() -> None:
    texts = [f"text {n}" for n in range(9)]
    outputs = {text: "good" if n < 6 else "It is bad." for n, text in enumerate(texts)}
    settings = block(labels=["good", "bad"], epochs=3, inputs_each=3)
    settled = run(settings, texts, outputs)
    kept = Counter(each.row.messages[-1]["content"] for each in settled if each.row)
    assert kept == {"good": 3, "bad": 3}
    assert Counter(each.reason for each in settled) == {"output": 6, "over_label": 3}
    asked = [ask_input(settings, TaskInputs(["x"]), 0, n).messages[0] for n in range(40)]
    wished = Counter('"good"' in str(message["content"]) for message in asked)
    assert 10 <= wished[True] <= 30, "each label is drawn"
    for each in settled:
        if each.row:
            assert "whose right answer" not in str(each.row.messages)


@pytest.mark.parametrize(
    ("replies", "share", "output"),
    [
        (["a", "b", "b", "c"], 0.5, "b"),
        (["a", "b", "b", "c"], 0.51, None),
        (["aa", "b", "b", "aa"], 0.5, "b"),  # of equal ones the shortest
        ([*"ggggggg", *"abcdefhijklmnopqrs"], 0.28, "g"),  # 7 of 25: 0.28 * 25 is above 7
        (["", "a", "the input is", "a"], 1, "a"),  # of those that pass
    ],
)
def test_the_most_frequent_output_stays_if_its_share_is_large_enough(
    replies: list[str], share: float, output: str | None
) -> None:
    found = choose_output(block(least_share=share), SOURCES, said(*replies))
    assert found == (output or Unread("no_agreement"))
    assert choose_output(block(least_share=share), SOURCES, said(*replies[::-1])) == found


def test_an_output_that_is_nothing_has_its_reason() -> None:
    failed: list[Sampled] = [GenerationFailure("timeout", "")]
    assert choose_output(block(), SOURCES, failed) == Unread("timeout")
    labels = block(labels=["spam", "not spam"])
    for text, label in (("Spam.", "spam"), ("It is not spam", "not spam")):
        assert read_output(labels, [], said(text)[0]) == label
    for text in ("spammer", "good"):
        assert read_output(labels, [], said(text)[0]) == Unread("no_label")
    both = block(labels=["good", "bad"])
    assert read_output(both, [], said("good or bad")[0]) == Unread("no_label")


def test_filters_of_inputs() -> None:
    inputs = TaskInputs([each.prompt for each in SOURCES])  # of 11, 11 and 5 characters
    bounded = block(lengths=["inputs"])
    # mean 9, standard deviation 2.83: from 3 to 15
    assert [inputs.fault(bounded, "x" * n) for n in (2, 3, 15, 16)] == [
        "odd_length",
        "",
        "",
        "odd_length",
    ]
    alike = TaskInputs(["abc", "xyz"])
    assert alike.fault(bounded, "new") == "" and alike.fault(bounded, "news") == "odd_length"
    assert inputs.fault(block(), "This INPUT is new") == "noise"
    assert inputs.fault(block(), "I'm sorry, but I cannot help with that") == "refusal"
    echo = "Reply with it alone, and do not solve it. A film"
    assert inputs.fault(block(), echo) == "repeats_prompt"


def test_what_a_prompt_shows_is_trusted_or_made_before() -> None:
    inputs = TaskInputs(["p", "q"])
    first = str(ask_input(block(), inputs, 0, 0).messages[0]["content"])
    assert "mistakes" not in first and "- p" in first and "- q" in first
    inputs.accepted = {n: f"made {n}" for n in range(30)}
    counts = set()
    for number in range(100):
        text = str(ask_input(block(), inputs, 0, number).messages[0]["content"])
        counts.add(text.count("- made"))
        assert text == str(ask_input(block(), inputs, 0, number).messages[0]["content"])
    assert counts <= {*range(1, 11)} and {1, 10} <= counts
