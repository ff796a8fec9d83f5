"""MCTS-DPO: steps, what they are worth, and pairs that part at one."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.export.rejected import dropped_answers
from pipeline.generation.maker import Ask, Settled
from pipeline.generation.makers.mcts_dpo import MCTSDPO, STEP_ENDS, StepSearch, step_of
from pipeline.measuring.rows import tokenizer_of
from pipeline.selection.run_steps import CHOSEN_OF_PAIRS
from pipeline.selection.stage import select_examples
from scorers.measures.protocols import GeneratedAnswer, Opening
from storage.database import read_workspace
from storage.examples import Example
from storage.runs import read_counts
from tests.pipeline.generation.makers.test_spin import ALL, SOURCE
from tests.scripted_maker import begin, make, script, write_sums
from tests.stage_runner import count_words

MODEL = "wheel:smollm2-135m-instruct"

Reply = str | GeneratedAnswer


def search(
    settings: MCTSDPO, say: Callable[[Ask], Reply], source: Example = SOURCE
) -> tuple[list[Ask], list[Settled]]:
    """All that is asked about a row, and what became of it."""
    making = StepSearch(settings, source, MODEL).make()
    asked: list[Ask] = []
    try:
        wanted = next(making)
        while True:
            asked += wanted.asks
            said = [say(ask) for ask in wanted.asks]
            wanted = making.send(
                [e if isinstance(e, GeneratedAnswer) else GeneratedAnswer(e, 1, True) for e in said]
            )
    except StopIteration as ended:
        return asked, list(ended.value)


def verdict(ask: Ask) -> bool:
    return ask.stage.startswith("judge")


def answer_next(replies: Iterator[str], ask: Ask) -> Reply:
    """Yes to what is judged, and to all else the next reply."""
    return "yes" if verdict(ask) else next(replies)


@pytest.mark.parametrize(
    ("whole", "start", "step"),
    [
        ("It is 3.5 in all. Then more.", 0, "It is 3.5 in all."),
        ("It is 3.5 in all. Then more.", 17, "It is 3.5 in all. Then more."),
        ("2 + 4 = 6\n#### 6", 0, "2 + 4 = 6"),
        ("1. Take two.\n2. Take four.", 0, "1. Take two."),  # a number alone is no step
        ("One and all", 0, "One and all"),
        ("One and all.  \n", 0, "One and all.  \n"),  # nothing follows
    ],
)
def test_a_step_is_a_sentence_or_a_line(whole: str, start: int, step: str) -> None:
    assert step_of(whole, start, STEP_ENDS["sentence"]) == step


def test_pieces_are_the_parts_of_a_call() -> None:
    call = '{"name": "days_between", "arguments": {"first": "2024-01-01", "last": "2024-03-01"}}'
    begun, steps = "", []
    while begun != call:
        begun, before = step_of(call, len(begun), STEP_ENDS["piece"]), begun
        steps.append(begun.removeprefix(before))
    assert steps == [
        '{"name": "days_between",',
        ' "arguments": {"first":',
        ' "2024-01-01",',
        ' "last": "2024-03-01"}}',
    ]
    assert step_of("add(first=3, second=4)", 0, STEP_ENDS["piece"]) == "add(first="


def test_the_judge_is_shown_the_given_answer_where_it_is_told_to() -> None:
    settings = MCTSDPO(method="mcts_dpo", iterations=1, given=False)
    for reference in (False, True):
        replies = iter(["Add(2, by=4) and see", "Add(2, to=3) and see"])
        using = settings.model_copy(update={"reference": reference, "steps": "piece"})
        asked, _ = search(using, partial(answer_next, replies))
        shown = [str(ask.messages) for ask in asked if verdict(ask)]
        assert ["It is 6" in each for each in shown] == [reference]
        assert "Add(2," in shown[0] and "Add(2, by" not in shown[0], "up to the piece"
    assert settings.takes(SOURCE)
    prompt = replace(SOURCE, messages=SOURCE.messages[:1], response="", trained_at=[])
    alone = settings.model_copy(update={"verify": ()})
    assert alone.takes(prompt) and not alone.model_copy(update={"reference": True}).takes(prompt)


def test_the_better_of_a_pair_ends_right_and_the_worse_one_wrong() -> None:
    replies = iter(["Two and four. It is 6", "Two less four. It is 2"])
    settings = MCTSDPO(method="mcts_dpo", iterations=1, given=False)
    asked, settled = search(settings, lambda ask: "yes" if verdict(ask) else next(replies))
    assert [ask.messages for ask in asked[:2]] == [SOURCE.conversation.prompt] * 2
    shown = [str(ask.messages[0]["content"]) for ask in asked[2:]]
    assert "Two and four." in shown[0] and "It is 6" not in shown[0], "up to the step alone"
    better, worse = settled
    assert better.row and worse.row and (better.reason, worse.reason) == ("better", "worse")
    assert better.row.messages[-1]["content"] == "Two and four. It is 6"
    assert worse.row.messages[-1]["content"] == "Two less four. It is 2"
    assert worse.rejected_for == better.row.example_id and not better.rejected_for
    assert [len(each.replies) for each in settled] == [2, 2]


def test_an_answer_that_is_wrong_is_not_the_better_one_however_poor_the_other_is() -> None:
    replies = iter(["Two and four. It is 7", "Two less four. It is 2"])
    settings = MCTSDPO(method="mcts_dpo", iterations=1, given=False)

    def say(ask: Ask) -> Reply:
        if not verdict(ask):
            return next(replies)
        return "yes" if "Two and four" in str(ask.messages) else "no"

    _, settled = search(settings, say)
    assert [each.reason for each in settled] == ["no_pair"] * 2


def test_the_judge_counts_by_its_probability_and_decides_where_nothing_else_does() -> None:
    shares = iter([0.3, 0.6])
    replies = iter(["Two and four. It is 6", "Two less four. It is 2"])

    def say(ask: Ask) -> Reply:
        if not verdict(ask):
            return next(replies)
        yes = next(shares)
        return GeneratedAnswer("no", 1, True, options={"yes": yes / 2, "no": (1 - yes) / 2})

    settings = MCTSDPO(method="mcts_dpo", iterations=1, given=False, verify=(), margin=0.29)
    _, settled = search(settings, say)
    assert [str(each.row and each.row.messages[-1]["content"])[-1] for each in settled] == [
        "2",
        "6",
    ]
    shares, replies = iter([0.3, 0.6]), iter(["Two and four. It is 6", "Two less four. It is 2"])
    _, settled = search(settings.model_copy(update={"margin": 0.31}), say)
    assert [each.reason for each in settled] == ["no_pair"] * 2


def test_a_deeper_step_goes_on_from_the_answer_so_far() -> None:
    replies = iter(["Two and four. It is 6", "Two less four. It is 2", " It is 7", " It is 6."])
    settings = MCTSDPO(method="mcts_dpo", iterations=2, given=False)
    asked, settled = search(settings, lambda ask: "yes" if verdict(ask) else next(replies))
    opened = [ask.opening for ask in asked if isinstance(ask.opening, Opening)]
    text = str(tokenizer_of(MODEL).decode([*opened[0].ids]))
    assert len(opened) == 2 and text.endswith("<|im_start|>assistant\nTwo and four.")
    assert SOURCE.prompt in text and opened[0].end == "<|im_end|>"
    said = [str(each.row.messages[-1]["content"]) for each in settled if each.row]
    assert said == [
        "Two and four. It is 6.",  # at the second step
        "Two and four. It is 7",
        "Two and four. It is 6",  # at the first
        "Two less four. It is 2",
    ]


def test_of_the_given_answer_the_steps_are_there_and_it_is_never_the_worse_one() -> None:
    settings = MCTSDPO(method="mcts_dpo", iterations=1, actions=2)
    replies = iter(["Two less four. It is 2", "It is 6"])
    messages = [SOURCE.messages[0], {"role": "assistant", "content": "It is 6 "}]
    spaced = replace(SOURCE, response="It is 6 ", messages=messages)
    _, settled = search(settings, lambda ask: "yes" if verdict(ask) else next(replies), spaced)
    assert [each.reason for each in settled] == ["same_step", "better", "worse"]
    assert settled[1].row == spaced.conversation, "as it is"
    assert settled[2].rejected_for == spaced.conversation.example_id
    alone = settings.model_copy(update={"verify": ()})
    replies = iter(["Two less four. It is 2", "Six it is"])

    def say(ask: Ask) -> Reply:
        if not verdict(ask):
            return next(replies)
        return "no" if SOURCE.response in str(ask.messages) else "yes"

    _, settled = search(alone, say)
    assert {each.reason for each in settled} == {"no_pair"}


def test_what_cannot_be_read_or_has_a_mark_of_the_template_is_no_step() -> None:
    said: list[Reply] = [
        "Two and four. It is 6",
        GeneratedAnswer("Two", 1, False),
        " So <|im_end|> 6",
        " So 6",
    ]
    replies = iter(said)
    settings = MCTSDPO(method="mcts_dpo", iterations=2, given=False)
    _, settled = search(settings, lambda ask: "yes" if verdict(ask) else next(replies))
    assert sorted(each.reason for each in settled) == [
        "cut_off",
        "no_pair",
        "no_pair",
        "template_token",
    ]


def test_what_leaves_nothing_to_choose_from_or_to_go_on_from_is_refused() -> None:
    for fields, why in (
        ({"actions": 1, "given": False}, "no siblings"),
        ({"few_shot": "urial"}, "few_shot does without"),
        ({"endpoint": {"base_url": "http://127.0.0.1:1/v1"}}, "template_model"),
    ):
        with pytest.raises(ValidationError, match=why):
            MCTSDPO.model_validate({"method": "mcts_dpo", **fields})


def test_the_worse_one_is_rejected_for_the_better_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(text: str, seed: int) -> str:
        if "one word" in text:
            return "yes"
        first, second = map(int, re.findall(r"\d+", text))
        return f"Count w{seed} on. It is {first + second + seed % 2}"

    script(monkeypatch, say)
    run, pool = begin(tmp_path, write_sums(tmp_path))
    maker = MCTSDPO(method="mcts_dpo", iterations=1, actions=6, given=False)
    _, grown = make(run, maker, pool)
    run = count_words(run, grown)
    chosen = select_examples(run, ALL, grown)
    with read_workspace(run.workspace) as con:
        lineage = con.execute("select example_id, parent_id, method from lineage").fetchall()
        counts = {each.label: each for each in read_counts(con, run.run_id)}
        found = dropped_answers(con, run.run_id, chosen.selection_id, ["rejected_answer"], 1)
    better = {e: p for e, p, method in lineage if method == "mcts_dpo"}
    worse = {e: p for e, p, method in lineage if method == "mcts_dpo_worse"}
    assert {*better.values()} <= {*pool} and {*worse.values()} == {*better} and worse
    assert counts[CHOSEN_OF_PAIRS].dropped == {"rejected_answer": len(worse)}
    assert {kept: other.example_id for kept, other in found.items()} == {
        of: one for one, of in worse.items()
    }
