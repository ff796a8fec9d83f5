"""What a training costs is what its own steps cost."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from fine_tune import heldout_tasks, trial_steps
from fine_tune.evaluate import loss_of_rows
from fine_tune.mixed_export import MixedExport
from fine_tune.report import HeldOutLoss
from fine_tune.settings import TrainSettings
from fine_tune.stage_settings import Soup
from fine_tune.trial_steps import count_steps, plan_stages, plan_training, time_steps
from fine_tune.weighted_trainer import WeightedTrainer
from tests.fine_tune.test_four_bits import needs_library
from tests.fine_tune.tiny import make_rows


@pytest.mark.parametrize(
    ("rows", "settings", "steps"),
    [
        (10, {}, 3),  # 4 + 4 + 2
        (10, {"batch_rows": 2, "gradient_accumulation": 2}, 3),
        (10, {"epochs": 2}, 6),
        (10, {"epochs": 0.5}, 2),
        (10, {"max_steps": 99}, 99),
        (1, {}, 1),
    ],
)
def test_steps_are_those_of_the_trainer(rows: int, settings: dict[str, Any], steps: int) -> None:
    assert count_steps(rows, TrainSettings.model_validate(settings)) == steps


def test_the_time_goes_by_the_tokens_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_steps, "time_steps", lambda *_: (3.0, 600))
    plan = plan_training(tmp_path, [{}], 50.0, 8, TrainSettings(epochs=3))
    assert (plan.steps, plan.tokens, plan.seconds) == (6, 1200, 6.0)
    soup = Soup(seeds=(0, 1, 2))
    plan = plan_training(tmp_path, [{}], 50.0, 8, TrainSettings(epochs=3, soup=soup))
    assert (plan.steps, plan.tokens, plan.seconds) == (18, 3600, 18.0)


def test_each_stage_is_planned_by_the_rows_that_it_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_steps, "time_steps", lambda *_: (3.0, 600))
    tried = TrainSettings.model_validate(
        {"stages": [{"epochs": 2}, {"mix": [{}, {"export": "b", "share": 0.1}]}]}
    )

    def sizes(mixed: MixedExport) -> tuple[int, float]:
        rows = mixed.drawn(8 if mixed.export == "own" else 31)
        return rows, rows * (50.0 if mixed.export == "own" else 20.0)

    plan = plan_stages(tmp_path, [{}], sizes, tried)
    assert [(each.rows, each.steps, each.tokens) for each in plan.stages] == [
        (8, 4, 4 * 4 * 50),
        (8 + 4, 3, 3 * 4 * 40),  # the mean row has 40 tokens
    ]
    assert (plan.rows, plan.steps, plan.tokens) == (12, 7, 1280)
    assert plan.seconds == pytest.approx(1280 * 3 / 600)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"gradient_accumulation": 2},
        {"tune": "full", "packing": True, "methods": [{"method": "hft"}]},
        {"methods": [{"method": "poft", "perplexities": ["perplexity"]}]},
        {"lora_rank": 2, "methods": [{"method": "lora_sb"}]},
        {"methods": [{"method": "asft"}]},
        {"tune": "full", "methods": [{"method": "roste", "rows": 2}]},
        {"methods": [{"method": "loramoe", "experts": 2}]},
        pytest.param({"tune": "qlora"}, marks=needs_library),
        {"lora_rank": 2, "methods": [{"method": "corda", "knowledge": {"export": "elsewhere"}}]},
    ],
)
def test_steps_are_tried_with_the_methods_of_the_training(
    tiny_model: Path, settings: dict[str, Any]
) -> None:
    rows = [
        {"prompt": row.prompt, "completion": row.completion, "tools": None}
        for row in make_rows(5)
        if not row.tools
    ]
    wanted = TrainSettings.model_validate({**settings, "batch_rows": 2})
    seconds, tokens = time_steps(tiny_model, rows, wanted)
    assert seconds > 0 and tokens > 2 * 2 * 30


@pytest.mark.slow
def test_the_held_out_rows_of_each_task_are_asked_in_a_trial_too(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def count(trainer: WeightedTrainer, rows: Dataset) -> HeldOutLoss:
        asked.append(len(rows))
        return loss_of_rows(trainer, rows)

    monkeypatch.setattr(heldout_tasks, "loss_of_rows", count)
    rows = [
        {"prompt": row.prompt, "completion": row.completion, "tools": None, "source": "ab"[n % 2]}
        for n, row in enumerate(make_rows(5))
        if not row.tools
    ]
    coba = {"method": "coba", "rows": 3}
    for balance, tasks in (("source", 2), ({"x": 1, "y": 1, "z": 2}, 3)):
        asked.clear()
        settings = {"balance": balance, "methods": [coba], "batch_rows": 2}
        time_steps(tiny_model, rows, TrainSettings.model_validate(settings))
        assert asked == [3] * tasks * 3  # after each of three steps
