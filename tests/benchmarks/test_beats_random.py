"""The inputs of the comparison with random: no prompt on two sides, and recipes that load."""

import json
from pathlib import Path

import pytest

from benchmarks.beats_random import (
    ITEMS,
    SETS,
    SPOILT,
    STEPS,
    TARGETS,
    write_inputs,
    write_recipes,
)
from benchmarks.planted_faults import ALPACA, DOLLY, GSM8K
from flows.recipe.check import load_recipe
from flows.recipe.trial import load_trial

ROWS = 60


@pytest.fixture
def work(tmp_path: Path) -> Path:
    data, work = tmp_path / "data", tmp_path / "work"
    work.mkdir()
    asked = [
        (f"What is {n} and {n + 1}?", f"It comes to {2 * n + 1} in all, as you see.")
        for n in range(TARGETS + ITEMS + ROWS)
    ]
    for file in (ALPACA, DOLLY):
        rows = [{"instruction": f"{file.stem}: {p}", "input": "", "output": a} for p, a in asked]
        (data / file).parent.mkdir(parents=True, exist_ok=True)
        (data / file).write_text(json.dumps(rows))
    (data / GSM8K).parent.mkdir()
    sums = [{"question": p, "answer": f"{a} <<1+1=2>>#### {n}"} for n, (p, a) in enumerate(asked)]
    (data / GSM8K).write_text("\n".join(map(json.dumps, sums)))
    write_inputs(data, work, ROWS)
    write_recipes(work, 400, 3)
    return work


def prompts(path: Path) -> list[str]:
    return [json.loads(line)["prompt"] for line in path.read_text().splitlines()]


def test_a_prompt_is_in_the_pool_or_a_target_or_an_item(work: Path) -> None:
    for name in SETS:
        parts = [prompts(work / f"{name}{kind}.jsonl") for kind in ("", "-targets", "-items")]
        assert [len(part) for part in parts] == [ROWS // 3, TARGETS, ITEMS]
        everything = [prompt for part in parts for prompt in part]
        assert len(set(everything)) == len(everything)


def test_the_spoilt_arm_has_the_spoilt_rows_of_the_pool_alone(work: Path) -> None:
    of_pool = {
        prompt
        for name in SETS
        for prompt, fault in zip(
            prompts(work / f"{name}.jsonl"),
            json.loads((work / f"{name}.faults.json").read_text()),
            strict=True,
        )
        if fault
    }
    assert len(of_pool) == 3 * (2 + 1 + 1)  # of 20 rows: 10 %, 8 %, 7 %
    assert set(prompts(work / "spoilt.jsonl")) == of_pool


def test_every_arm_is_a_recipe_that_chooses_as_many_loss_tokens(work: Path) -> None:
    trial = load_trial(work / "trial.yaml")
    assert set(trial.arms) == {
        *STEPS,
        SPOILT,
        "choice",
        "random",
        "length_matched",
        "untrained",
    } - {"cleaned"}
    for name in (*STEPS, SPOILT):
        recipe = load_recipe(work / f"{name}.yaml")
        assert recipe.select is not None and recipe.select.name == name
        budget = recipe.select.steps[-1].budget  # type: ignore[union-attr]
        assert budget.loss_tokens == 400
