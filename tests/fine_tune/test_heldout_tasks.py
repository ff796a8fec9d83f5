"""Weights of tasks that follow held-out losses: exact in a step, and the same after a kill."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from fine_tune.balance import weighted_rows
from fine_tune.checked_rows import checked_trainer
from fine_tune.evaluate import loss_of_rows
from fine_tune.heldout_tasks import LOSSES, HeldOutTasks, heldout_tasks
from fine_tune.libraries import quiet_libraries
from fine_tune.methods.coba import CoBa
from fine_tune.row_checks import require_steps
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from storage.exports_manifest import read_manifest
from tests.fine_tune.steps import Row, difference, step_of, trainer_of
from tests.fine_tune.test_train import KILL_AT_STEP_FIVE, files_of
from tests.fine_tune.tiny import count_rows, export_for, make_rows

COBA = {"method": "coba", "rows": 2, "warm_up": 2}
SETTINGS = TrainSettings.model_validate(
    {
        "epochs": 2,
        "batch_rows": 4,
        "lora_rank": 2,
        "learning_rate": 1e-2,
        "lora_dropout": 0.1,
        "save_every_steps": 2,
        "balance": "source",
        "methods": [COBA],
    }
)


@pytest.fixture(scope="module")
def two_tasks(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of 8 rows of one source and 4 of another, and of both some held out."""
    rows = [*make_rows(12), *make_rows(6, "validation")]
    rows = [replace(row, source=f"{'ab'[n % 3 == 2]}.jsonl") for n, row in enumerate(rows)]
    folder = tmp_path_factory.mktemp("export") / "two"
    return export_for(tiny_model, folder, count_rows(rows, tiny_model))


def uneven(tasks: HeldOutTasks) -> HeldOutTasks:
    """The same tasks, the second of which counts three times as much as the first."""

    class Three(CoBa):
        def task_weights(self, losses: np.ndarray) -> np.ndarray:
            return np.array([0.25, 0.75])

    return replace(tasks, method=Three(method="coba"))


@pytest.mark.slow
def test_a_step_is_the_same_however_it_is_cut_and_packed(
    two_tasks: Path, tiny_model: Path, tmp_path: Path
) -> None:
    alike = SETTINGS.model_copy(update={"lora_dropout": 0.0})
    trainer = trainer_of(two_tasks, tiny_model, tmp_path, alike)
    assert trainer.tasks is not None
    trainer.tasks = uneven(trainer.tasks)
    prepared: Any = trainer.train_dataset
    columns = ("input_ids", "labels", "loss_weights", "task")
    rows: list[Row] = [{name: row[name] for name in columns} for row in prepared.select(range(6))]
    whole, expected = step_of(trainer, [rows], SETTINGS.methods)
    for cut in ([rows[:2], rows[2:]], [[row] for row in rows]):
        for packed in (False, True):
            loss, grads = step_of(trainer, cut, SETTINGS.methods, packed=packed)
            assert loss == pytest.approx(whole, rel=1e-6)
            assert difference(grads, expected) < 1e-5
    # By hand: factors are w_k / mean w, 0.5 and 1.5, times what balance gives each row.
    nats = [trainer.loss_of_batch([row])[0] for row in rows]
    counts = [row["loss_weights"][0] * (0.5, 1.5)[row["task"]] for row in rows]
    tokens = sum(label != -100 for row in rows for label in row["labels"][1:])
    by_hand = sum(n * w for n, w in zip(nats, counts, strict=True)) / tokens
    assert whole == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.slow
def test_each_step_asks_for_the_losses_of_the_same_rows_by_their_own_tasks(
    two_tasks: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with quiet_libraries():
        checked = checked_trainer(
            two_tasks, read_manifest(two_tasks), tiny_model, tmp_path, SETTINGS
        )
    trainer: Any = checked.trainer
    tasks: HeldOutTasks = trainer.tasks
    assert tasks.names == ("a.jsonl", "b.jsonl") and tasks.shares.tolist() == [0.5, 0.5]
    for name, rows in zip(tasks.names, tasks.rows, strict=True):
        assert set(rows["source"]) == {name} and len(rows) == 2
    expected = [loss_of_rows(trainer, rows).nats_per_token for rows in tasks.rows]
    trainer.loaded_model().train()
    assert tasks.measure(trainer) == pytest.approx(expected)
    assert trainer.loaded_model().training
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if LOSSES in entry]
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    # The last step's own weights came of the five before it.
    assert trainer.task_factors.numpy() == pytest.approx(tasks.factors(entries[:5]), rel=1e-6)
    assert np.abs(trainer.task_factors.numpy() - 1).max() > 0.01


def test_what_balance_gives_is_what_the_weights_are_multiplied_by() -> None:
    tasks = HeldOutTasks(CoBa(method="coba", warm_up=2), ("a", "b"), np.array([0.2, 0.8]), ())
    assert tasks.factors([]) == pytest.approx([1, 1])
    log: list[dict[str, Any]] = [{LOSSES: [2.0, 4.0]}, {"loss": 1.0}, {LOSSES: [1.0, 4.0]}]
    weights = tasks.method.task_weights(np.array([[2.0, 4.0], [1.0, 4.0]]))
    found = tasks.factors(log)
    assert found[0] / found[1] == pytest.approx(weights[0] / weights[1])
    assert tasks.shares @ found == pytest.approx(1)
    counted = 0.2 * weights / (0.2 * weights[0] + 0.8 * weights[1])
    assert tasks.said(log) == (
        f"coba: weights at the end: a {counted[0]:.3f} (at first 0.200), "
        f"b {1 - counted[0]:.3f} (at first 0.800)"
    )


def test_a_task_without_held_out_rows_is_told_before_work() -> None:
    trained = Dataset.from_dict({"source": ["a", "b", "c"]})
    held_out = Dataset.from_dict({"source": ["b", "b"], "example_id": ["1", "2"]})
    with pytest.raises(ValueError, match="of each task, and a, c has no held-out row: raise"):
        heldout_tasks(SETTINGS, trained, held_out)
    with pytest.raises(ValueError, match="a, b, c has no held-out row"):
        heldout_tasks(SETTINGS, trained, None)
    plain = SETTINGS.model_copy(update={"methods": ()})
    assert heldout_tasks(plain, trained, None) is None


def test_numbers_of_tasks_are_places_among_the_names_even_where_a_task_is_not_drawn() -> None:
    rows = Dataset.from_dict(
        {"source": ["c", "a", "b"], "loss_tokens": [1, 1, 1], "weight": [1.0, 1.0, 1.0]}
    )
    assert weighted_rows(rows, balance="source")["task"] == [2, 0, 1]


def test_a_training_that_ends_with_the_warm_up_is_refused() -> None:
    settings = SETTINGS.model_copy(update={"methods": (CoBa(method="coba", warm_up=6),)})
    with pytest.raises(ValueError, match="in the first 6 steps, and the training has 6"):
        require_steps(settings, 12)
    require_steps(settings, 13)


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(
    two_tasks: Path, tiny_model: Path, tmp_path: Path
) -> None:
    report = train_adapter(two_tasks, tiny_model, tmp_path / "undisturbed", SETTINGS)
    assert report.method_notes[-1].startswith("coba: weights at the end: a.jsonl 0.")
    arguments = [str(two_tasks), str(tiny_model), str(tmp_path / "killed")]
    killed = subprocess.run(
        [sys.executable, "-c", KILL_AT_STEP_FIVE, *arguments, SETTINGS.model_dump_json()],
        check=False,
    )
    assert killed.returncode == -9 and not (tmp_path / "killed" / "report.json").exists()
    train_adapter(two_tasks, tiny_model, tmp_path / "killed", SETTINGS)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "undisturbed")
    static = SETTINGS.model_copy(update={"methods": ()})
    other = train_adapter(two_tasks, tiny_model, tmp_path / "static", static)
    assert other.losses[:2] == report.losses[:2] and other.losses[2:] != report.losses[2:]
    assert torch.isfinite(torch.tensor(report.losses)).all()
