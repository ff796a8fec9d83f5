import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.advice.suggest import NoVerdictsError, SuggestionRequest, suggest_tasks
from pipeline.run_context import RunContext
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import open_workspace, read_workspace
from storage.runs import start_run
from storage.verdicts import read_verdicts
from tests.stage_runner import count_words, start


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


def row(question: str, answer: str) -> str:
    return json.dumps({"prompt": question, "completion": answer})


def judge(run: RunContext, pool: list[str]) -> None:
    steps = [
        {"method": "correct_answer", "marker": "####"},
        {"method": "random", "budget": {"fraction": 1}},
    ]
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": steps}), pool)


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
