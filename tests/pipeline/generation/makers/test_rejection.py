"""Rejection: what is kept does not depend on the order of the samples, and every row verifies."""

import pytest
from pydantic import ValidationError

from pipeline.generation.maker import Settled
from pipeline.generation.makers.rejection import (
    Rejection,
    choose_far_apart,
    choose_right,
    make_by_rejection,
    path_key,
)
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.final_answer import final_answer, same_answer
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure
from storage.examples import Example

SOURCE = Example(
    "id",
    "prompt",
    [{"role": "user", "content": "2 + 4?"}, {"role": "assistant", "content": "#### 6"}],
    [],
    1,
    "2 + 4?",
    "#### 6",
    [1],
)


def block(**fields: object) -> Rejection:
    return Rejection.model_validate({"method": "rejection", **fields})


def said(*texts: str) -> list[Sampled]:
    return [GeneratedAnswer(text, 3, finished=True) for text in texts]


def run(settings: Rejection, *rounds: list[Sampled]) -> tuple[int, list[Settled]]:
    """Asks that were made, and what came of the replies."""
    making = make_by_rejection(settings, SOURCE)
    asked, given = 0, iter(rounds)
    try:
        wanted = next(making)
        while True:
            asked += len(wanted.asks)
            wanted = making.send(next(given))
    except StopIteration as ended:
        return asked, list(ended.value)


def choose(settings: Rejection, stage: str, replies: list[Sampled]) -> list[Settled]:
    """What becomes of samples where no verifier asks anything."""
    choosing = choose_right(settings, SOURCE, stage, replies)
    with pytest.raises(StopIteration) as ended:
        next(choosing)
    return list(ended.value.value)


def rows(settled: list[Settled]) -> list[tuple[str, str]]:
    return [(each.reason, str(each.row.messages[-1]["content"])) for each in settled if each.row]


def test_right_samples_are_rows_and_all_others_have_their_reason() -> None:
    replies = said("2 + 4 = 6", "2 + 4 = 7", "so 6", "so  6", "no idea")
    replies.append(GenerationFailure("timeout", ""))
    settled = choose(block(), "sample", replies)
    reasons = ["sample", "wrong_answer", "sample", "duplicate", "no_answer", "timeout"]
    # Of two that are equal but for white space the lower text stays.
    reasons[2], reasons[3] = reasons[3], reasons[2]
    assert [each.reason for each in settled] == reasons
    for _, text in rows(settled):
        assert same_answer(final_answer(text) or "", "6")


@pytest.mark.parametrize("answer", ["6.0", "12/2", "#### 6", "\\boxed{6}", "$6", "600%"])
def test_the_format_of_an_answer_does_not_matter(answer: str) -> None:
    (one,) = choose(block(), "sample", said(answer))
    assert one.row is not None


def test_the_order_of_samples_changes_nothing() -> None:
    texts = [f"step {n} of {n * 7} gives 6" for n in range(9)] + ["two and four make 6"]
    for distinct in ("text", "path"):
        settings = block(keep_at_most=3, distinct=distinct)
        kept = [
            sorted(rows(choose(settings, "sample", said(*order))))
            for order in (texts, texts[::-1], texts[4:] + texts[:4])
        ]
        assert kept[0] == kept[1] == kept[2] and len(kept[0]) == 3


def test_paths_are_the_numbers_and_operators_in_order() -> None:
    assert path_key("2 + 4 = 6") == path_key("First 2, then + 4, which = 6.0")
    assert path_key("2 + 4 = 6") != path_key("4 + 2 = 6")
    assert path_key("1,000 = 1000") == "1000 = 1000"
    assert path_key("Two and four") == path_key("two, and FOUR!")
    evil = "__import__('os').system('x') 9**9**9 = 6"
    assert path_key(evil).endswith("= 6"), "read, and never run"


def test_those_are_chosen_that_have_least_in_common() -> None:
    near = ["a b c d e", "a b c d f", "a b c d g"]
    chosen = choose_far_apart([*near, "x y z"], 2)
    assert "x y z" in chosen and len(chosen) == 2
    assert choose_far_apart(near, 0) == set() and choose_far_apart(near, 9) == {*near}


def test_no_samples_leave_only_the_gold() -> None:
    assert run(block(samples=0)) == (0, [Settled((), SOURCE.conversation, "gold")])
    with pytest.raises(ValidationError, match="leave no row"):
        block(samples=0, gold="never")
    with pytest.raises(ValidationError, match="at temperature 0 every sample is the same"):
        block(samples=2, temperature=0)


def test_the_hint_is_asked_where_nothing_is_right_and_is_not_in_the_row() -> None:
    star = block(samples=1, temperature=0, hints=1, gold="never")
    asked, settled = run(star, said("7"), said("2 and 4 are 6"))
    assert asked == 2 and rows(settled) == [("hint", "2 and 4 are 6")]
    row = settled[-1].row
    assert row is not None and row.messages[:-1] == SOURCE.messages[:-1]
    assert run(star, said("6"))[0] == 1, "no hint where the first is right"
    leaks = ("As in the hint, 6", "The reference answer is 6", "(CORRECT) 6", "the given answer: 6")
    for text in leaks:
        _, settled = run(star, said("7"), said(text))
        assert settled[-1].reason == "speaks_of_hint" and not rows(settled), text


def test_trice_begins_with_one_guided_rationale_of_each_prompt_and_no_gold() -> None:
    trice = block(samples=0, temperature=1, hints=1, keep_at_most=1, gold="never")
    assert run(trice, said("2 and 4 are 6"))[0] == 1
    assert rows(run(trice, said("2 and 4 are 6"))[1]) == [("hint", "2 and 4 are 6")]
    assert not rows(run(trice, said("7"))[1])
    assert trice.calls_for(5)["generate"][:2] == (5, 5)
    step = trice.model_copy(update={"samples": 1})
    assert rows(run(step, said("by itself: 6"))[1]) == [("sample", "by itself: 6")]
    assert rows(run(step, said("7"), said("told: 6"))[1]) == [("hint", "told: 6")]
    assert step.calls_for(5)["generate"][:2] == (5, 10)


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [("always", 2, 1), ("fallback", 1, 1), ("never", 1, 0)],
)
def test_when_the_given_response_is_a_row(gold: str, right: int, wrong: int) -> None:
    settings = block(samples=1, gold=gold)
    assert len(rows(run(settings, said("6"))[1])) == right
    assert len(rows(run(settings, said("7"))[1])) == wrong


def test_verifiers_say_what_a_sample_must_be_and_a_judge_is_among_what_a_row_was_made_of() -> None:
    settings = block(
        samples=3,
        gold="never",
        verify=[{"method": "constraints", "words_at_most": 3}, {"method": "judged", "retries": 0}],
    )
    replies = said("it is six", "four, five, or else six", "seven")
    asked, settled = run(settings, replies, said("yes", "no"))
    assert asked == 5, "of the long one no judge is asked"
    assert [each.reason for each in settled] == ["sample", "too_long", "wrong_answer"]
    assert settled[0].replies == [("sample", 0), ("judge sample 0", 0)]
    assert settled[1].replies == [("sample", 1)]
    assert settled[2].replies == [("sample", 2), ("judge sample 2", 0)]
    assert settings.sent_prompts() == ["rejection_hint", "judged_response"]
    bounds = settings.calls_for(4)
    assert (bounds["generate"].most, bounds["judge"].most, bounds["retry"].most) == (12, 12, 0)


def test_prompts_alone_are_answered_where_no_verifier_needs_a_response() -> None:
    prompt = Example("id", "prompt", SOURCE.messages[:1], [], None, "2 + 4?", "", [])
    settings = block(samples=3, hints=2, verify=[{"method": "majority"}])
    assert settings.takes(prompt) and settings.takes(SOURCE)
    assert not block().takes(prompt)
    assert not block(samples=0, hints=1, verify=[{"method": "majority"}]).takes(prompt)
    making = make_by_rejection(settings, prompt)
    assert len(next(making).asks) == 3
    with pytest.raises(StopIteration) as ended:
        making.send(said("7", "8", "9"))
    assert [each.reason for each in ended.value.value] == ["no_majority"] * 3
    making = make_by_rejection(settings, prompt)
    next(making)
    with pytest.raises(StopIteration) as ended:
        making.send(said("so 6", "it is 6", "7"))
    reasons = [each.reason for each in ended.value.value]
    assert reasons == ["sample", "sample", "not_of_majority"]
