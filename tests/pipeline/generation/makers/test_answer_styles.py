"""Answer styles: how many rows get which, and what each of them says."""

from collections import Counter

import pytest

from pipeline.generation.maker import Settled, Unread
from pipeline.generation.makers.answer_styles import (
    STYLES,
    AnswerStyles,
    Style,
    deal_out,
    make_by_answer_styles,
    read_for,
)
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure
from storage.examples import Example


def source(name: str, answer: str = "Paris") -> Example:
    messages = [{"role": "user", "content": f"{name}?"}, {"role": "assistant", "content": answer}]
    return Example(name, f"p{name}", messages, [], 1, f"{name}?", answer, [1])


def block(**fields: object) -> AnswerStyles:
    return AnswerStyles.model_validate({"method": "answer_styles", **fields})


def said(text: str) -> GeneratedAnswer:
    return GeneratedAnswer(text, 3, finished=True)


EXPLAINED = "Paris is the answer, for it is the capital and has been so for many hundreds of years"


def made(rows: int, share: float, options: str = "1. Rome\n2. Oslo\n3. Bern") -> list[Settled]:
    making = make_by_answer_styles(block(share=share), [source(f"{n}") for n in range(rows)], 0)
    asks = next(making).asks
    replies = []
    for ask in asks:
        text = str(ask.messages[-1]["content"])
        words = EXPLAINED if "about 20" in text else f"{EXPLAINED}, as all of them will tell. " * 2
        replies.append(said(options if "numbered list" in text else words))
    with pytest.raises(StopIteration) as ended:
        making.send(replies)
    return list(ended.value.value)


def texts(settled: list[Settled], style: str) -> list[tuple[str, str]]:
    """The prompts and answers of the rows in a style."""
    return [
        (str(each.row.messages[0]["content"]), str(each.row.messages[1]["content"]))
        for each in settled
        if each.reason == style and each.row is not None
    ]


@pytest.mark.parametrize(
    ("rows", "parts"),
    [(100, [80, 5, 5, 5, 5]), (20, [16, 1, 1, 1, 1]), (7, [6, 1, 0, 0, 0]), (0, [0, 0, 0, 0, 0])],
)
def test_parts_are_those_of_the_largest_remainders(rows: int, parts: list[int]) -> None:
    found = deal_out(block(), rows)
    assert found[""] == parts[0] and sorted((found[s] for s in STYLES), reverse=True) == parts[1:]
    assert block().calls_for(rows)["generate"][:2] == (sum(parts[1:]), sum(parts[1:]))


def test_every_source_has_one_row_in_its_style() -> None:
    settled = made(40, 0.8)
    reasons = Counter(each.reason for each in settled)
    assert reasons == dict.fromkeys(("native", *STYLES), 8)
    assert len({each.parents[0] for each in settled if each.row}) == 40
    asked = [each.row.messages[0]["content"] for each in settled if each.row]
    assert all(
        f"{each.parents[0]}?" in str(text) for each, text in zip(settled, asked, strict=True)
    )


def test_the_right_option_stands_at_each_place_alike_often() -> None:
    choices = texts(made(40, 0.8), "multiple_choice")
    assert Counter(answer for _, answer in choices) == dict.fromkeys("ABCD", 2)
    for asked, letter in choices:
        assert f"{letter}. Paris\n" in asked and asked.count("Paris") == 1
        assert all(f". {each}\n" in asked for each in ("Rome", "Oslo", "Bern"))


def test_yes_and_no_are_right_alike_often() -> None:
    answers = texts(made(40, 0.8), "yes_no")
    assert Counter(answer for _, answer in answers) == {"yes": 4, "no": 4}
    for asked, answer in answers:
        assert ('"Paris"' in asked) == (answer == "yes") and ('"Rome"' in asked) == (answer == "no")


def test_explanations_have_the_answer_and_their_length() -> None:
    for style in ("brief", "detailed"):
        for asked, answer in texts(made(40, 0.8), style):
            assert "Paris" in answer and ("20 words" in asked) == (style == "brief")


@pytest.mark.parametrize(
    ("style", "reply", "fault"),
    [
        ("multiple_choice", "1. Rome\n2. Oslo", "no_list"),
        ("multiple_choice", "1. Rome\n2. PARIS!\n3. Bern", "not_distinct"),
        ("multiple_choice", "1. Rome\n2. rome\n3. Bern", "not_distinct"),
        ("multiple_choice", "1. Rome\n2. ?\n3. Bern", "not_distinct"),
        ("yes_no", "1. paris", "not_distinct"),
        ("yes_no", "Reply with a numbered list and nothing else.", "no_list"),
        ("yes_no", "1. Reply with a numbered list and nothing else.", "repeats_prompt"),
        (
            "brief",
            "It is the capital of France, and has been so for many years.",
            "without_the_answer",
        ),
        ("brief", "It is Paris.", "too_short"),
        ("brief", "Paris " * 41, "too_long"),
        ("detailed", "Paris " * 24, "too_short"),
        ("detailed", "Paris " * 101, "too_long"),
    ],
)
def test_what_is_no_row_in_a_style(style: Style, reply: str, fault: str) -> None:
    assert read_for(source("x"), style, said(reply)) == Unread(fault)


@pytest.mark.parametrize(("style", "words"), [("brief", 10), ("brief", 40), ("detailed", 25)])
def test_half_and_twice_the_length_are_near_enough(style: Style, words: int) -> None:
    assert read_for(source("x"), style, said("Paris " * words)) == [("Paris " * words).strip()]


def test_where_a_style_fails_the_row_stays_as_it_was() -> None:
    settled = made(40, 0.8, options="1. Paris\n2. Paris\n3. Paris")
    reasons = Counter(each.reason for each in settled)
    assert reasons == {"native": 24, "not_distinct": 16, "brief": 8, "detailed": 8}
    assert len({each.parents[0] for each in settled if each.row}) == 40
    assert read_for(source("x"), "brief", GenerationFailure("timeout", "")) == Unread("timeout")


def test_only_short_answers_are_taken() -> None:
    assert block().takes(source("x", "one two three"))
    assert not block(longest_answer=2).takes(source("x", "one two three"))
    assert not block().takes(source("x", "!"))
