import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.advice.suggest import (
    DescribedTasks,
    NoVerdictsError,
    SuggestionRequest,
    describe_tasks,
    suggest_tasks,
    suggest_untried,
)
from pipeline.run_context import RunContext
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.conversations import Conversation
from storage.database import open_workspace, read_workspace
from storage.examples import Attempt, MadeBy, read_examples, write_attempts
from storage.runs import start_run
from storage.verdicts import read_verdicts
from tests.stage_runner import count_words, start, store_measurement


def verdicts(*rows: tuple[int, str, int, int]) -> pa.Table:
    names = ("round", "task", "correct", "tried")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


TOLD = verdicts((0, "easy", 90, 90), (0, "hard", 1, 90), (0, "right", 20, 40), (1, "right", 22, 50))


def test_suggests_what_is_right_half_of_the_time() -> None:
    first, *others = suggest_tasks(TOLD, SuggestionRequest(count=3))
    assert (first.task, first.correct, first.tried) == ("right", 42, 90)
    assert first.expected == pytest.approx(43 / 92)
    assert {each.task for each in others} == {"easy", "hard"}


def test_fewer_tasks_than_asked_for_are_all_of_them() -> None:
    assert len(suggest_tasks(TOLD, SuggestionRequest(count=9))) == 3
    assert len(suggest_tasks(TOLD, SuggestionRequest(count=1))) == 1


def test_memory_forgets_earlier_rounds() -> None:
    (first, *_) = suggest_tasks(TOLD, SuggestionRequest(count=1, memory=0.0))
    assert first.expected == pytest.approx(23 / 52)


def test_without_a_verdict_there_is_nothing_to_go_by() -> None:
    with pytest.raises(NoVerdictsError, match="run a recipe with a correct_answer step"):
        suggest_tasks(TOLD.slice(0, 0), SuggestionRequest())


TASKS = DescribedTasks(np.array([f"t{n:02d}" for n in range(40)]), np.linspace(-2, 2, 40)[:, None])


def wrong_above_the_middle(rounds: int) -> pa.Table:
    """Verdicts of the even tasks: those with high numbers are wrong, the others right."""
    return verdicts(
        *((r, f"t{n:02d}", 0 if n > 19 else 9, 9) for r in range(rounds) for n in range(0, 40, 2))
    )


@pytest.mark.slow
def test_untried_tasks_are_suggested_by_what_tasks_like_them_came_to() -> None:
    found = suggest_untried(wrong_above_the_middle(300), TASKS, SuggestionRequest(count=40))
    by_name = {each.task: each for each in found}
    assert len(by_name) == 40
    assert (by_name["t02"].correct, by_name["t02"].tried) == (2700, 2700)
    assert by_name["t39"].tried == by_name["t03"].tried == 0
    assert by_name["t39"].wrong > 0.6 > 0.4 > by_name["t03"].wrong
    assert all(each.unsure >= 0 for each in found)


def test_half_of_the_untried_are_drawn_and_the_same_seed_draws_the_same() -> None:
    told = wrong_above_the_middle(3)
    one, same, other = (
        suggest_untried(told, TASKS, SuggestionRequest(count=9, seed=seed)) for seed in (0, 0, 1)
    )
    assert [each.at_random for each in one] == [False] * 5 + [True] * 4
    assert one == same != other
    assert len({each.task for each in one}) == 9


def test_a_judged_task_without_a_description_is_left_out() -> None:
    told = verdicts((0, "t01", 1, 2), (0, "of no embedding", 0, 9))
    assert len(suggest_untried(told, TASKS, SuggestionRequest(count=99))) == 40
    with pytest.raises(NoVerdictsError, match="no task of which an answer was judged"):
        suggest_untried(told.slice(1), TASKS, SuggestionRequest())
    with pytest.raises(NoVerdictsError, match="correct_answer step"):
        suggest_untried(told.slice(0, 0), TASKS, SuggestionRequest())


def row(question: str, answer: str) -> str:
    return json.dumps({"prompt": question, "completion": answer})


def judge(run: RunContext, pool: list[str]) -> None:
    steps = [
        {"method": "correct_answer", "marker": "####"},
        {"method": "random", "budget": {"fraction": 1}},
    ]
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": steps}), pool)


@pytest.mark.slow
def test_an_answer_counts_once_and_a_trusted_one_not_at_all(tmp_path: Path) -> None:
    sums = [row("1 + 1?", "#### 2"), row("1 + 1?", "2"), row("1 + 1?", "it is 3")]
    others = [row("2 * 3?", "#### 6"), row("2 * 3?", "7"), row("no reference", "4")]
    (tmp_path / "sums.jsonl").write_text("\n".join(sums))
    (tmp_path / "others.jsonl").write_text("\n".join(others))
    files = [tmp_path / "sums.jsonl", tmp_path / "others.jsonl"]
    run, pool = start(tmp_path / "w", files)
    run = count_words(run, pool)
    judge(run, pool)
    with open_workspace(run.workspace) as con:
        start_run(con, "later", {"name": "test", "seed": 0}, "code", {}, run.source_ids)
    judge(replace(run, run_id="later"), pool)  # judges the same answers again
    with read_workspace(run.workspace) as con:
        by_source = read_verdicts(con, "source").to_pylist()
        by_prompt = read_verdicts(con, "prompt").to_pylist()
        prompts = dict(con.execute("select example_id, prompt from examples").fetchall())
    told = [(Path(r["task"]).name, r["round"], r["correct"], r["tried"]) for r in by_source]
    assert told == [("others.jsonl", 0, 0, 1), ("sums.jsonl", 0, 1, 2)]
    asked = {prompts[r["task"]]: (r["correct"], r["tried"]) for r in by_prompt}
    assert asked == {"1 + 1?": (1, 2), "2 * 3?": (0, 1)}


@pytest.mark.slow
def test_attempts_that_give_one_text_are_all_counted(tmp_path: Path) -> None:
    lines = [row("1 + 1?", "#### 2"), *[row("1 + 1?", "it is 2")] * 2, row("1 + 1?", "it is 3")]
    (tmp_path / "sums.jsonl").write_text("\n".join(lines))
    run, pool = start(tmp_path / "w", [tmp_path / "sums.jsonl"])
    with read_workspace(run.workspace) as con:
        prompts = read_examples(con, pool)
    parent = next(each for each in prompts if each.response == "#### 2")

    def attempts(first: int, texts: Sequence[str | None]) -> list[Attempt]:
        return [
            Attempt(parent.example_id, number, say(text) if text else None, "")
            for number, text in enumerate(texts, start=first)
        ]

    def say(text: str) -> Conversation:
        reply = {"role": "assistant", "content": text}
        return Conversation([*parent.conversation.prompt, reply], [])

    def run_judge(run_id: str, key: str, texts: Sequence[str | None]) -> None:
        again = replace(run, run_id=run_id)
        with open_workspace(run.workspace) as con:
            start_run(con, run_id, {"name": "test", "seed": 0}, "code", {}, run.source_ids)
            write_attempts(con, attempts(0, texts), MadeBy(key, "{}", run_id, "model"))
            told = con.execute("select example_id from examples").fetchall()
        ids = sorted(each for (each,) in told)
        judge(count_words(again, ids), ids)

    run_judge("one", "k1", ["so 2"] * 8 + ["so 4", None, "it is 2"])
    run_judge("two", "k2", ["so 2"] * 3 + ["so 9"])
    with read_workspace(run.workspace) as con:
        told = read_verdicts(con, "source").to_pylist()
    # 2 rows and 8 + 1 attempts are right, a row and an attempt wrong, one failed. Then 3 of 4.
    assert [(r["round"], r["correct"], r["tried"]) for r in told] == [(0, 11, 13), (1, 3, 4)]


def test_tasks_are_described_by_the_mean_of_their_embeddings_and_their_size(tmp_path: Path) -> None:
    questions = {"one.jsonl": ["a", "b", "c"], "two.jsonl": ["d"], "bare.jsonl": ["e"]}
    for name, asked in questions.items():
        (tmp_path / name).write_text("\n".join(row(question, "x") for question in asked))
    run, pool = start(tmp_path / "w", [tmp_path / name for name in questions])
    with read_workspace(run.workspace) as con:
        with pytest.raises(NoVerdictsError, match=r"run a recipe with .of: prompt. in measure"):
            describe_tasks(con, "source")
        prompts = dict(con.execute("select example_id, prompt from examples").fetchall())
    vectors = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.0, 1.0], "d": [1.0, 0.0], "e": None}
    given = [vectors[prompts[i]] for i in pool]
    columns = {
        "state": pa.array(["ok" if each else "failed" for each in given]),
        "embedding": pa.array(given, pa.list_(pa.float32())),
    }
    response = {**columns, "embedding": pa.array([[1.0]] * 5, pa.list_(pa.float32()))}
    run = store_measurement(run, "embeddings", pool, response, {"of": "response"})
    run = store_measurement(run, "embeddings", pool, columns, {"of": "prompt"})
    with read_workspace(run.workspace) as con:
        found = describe_tasks(con, "source")
    assert [Path(name).name for name in found.names] == ["one.jsonl", "two.jsonl"]
    # (1/3, 2/3, log 3) and (1, 0, log 1): of two tasks each number is 1 deviation from the mean.
    np.testing.assert_allclose(found.numbers, [[-1, 1, 1], [1, -1, -1]], atol=1e-6)
