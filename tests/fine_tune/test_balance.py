"""Balanced losses: the weights that make a token mean case 3, and the trainer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fine_tune.balance import row_weights, task_names
from fine_tune.checked_rows import checked_trainer
from fine_tune.evaluate import loss_of_rows
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from storage.exports_manifest import read_manifest
from tests.fine_tune.tiny import count_rows, export_for, make_rows

TASKS = np.array(["math", "math", "chat"])
TOKENS = np.array([10, 30, 4])
LOSSES = np.array([10.0, 60.0, 2.0])


def task_token_mean(
    losses: np.ndarray, tokens: np.ndarray, tasks: np.ndarray, weights: dict[str, float]
) -> float:
    """Case 3, task by task."""
    means = {k: losses[tasks == k].sum() / tokens[tasks == k].sum() for k in weights}
    return float(sum(weights[k] * means[k] for k in weights) / sum(weights.values()))


@pytest.mark.parametrize("weights", [None, {"math": 3, "chat": 1}])
def test_the_weighted_mean_over_tokens_is_case_3(weights: dict[str, float] | None) -> None:
    rows = row_weights(TASKS, TOKENS, weights)
    expected = task_token_mean(LOSSES, TOKENS, TASKS, weights or {"math": 1, "chat": 1})
    assert (rows * LOSSES).sum() / TOKENS.sum() == pytest.approx(expected)
    assert (rows * TOKENS).sum() == pytest.approx(TOKENS.sum())


def test_one_task_is_left_as_it_is_and_equal_weights_do_not_merge_tasks() -> None:
    np.testing.assert_array_equal(row_weights(np.array(["a", "a"]), np.array([3, 9])), [1, 1])
    assert row_weights(TASKS, TOKENS, {"math": 1, "chat": 1})[2] == pytest.approx(44 / 4 / 2)


def test_what_cannot_be_balanced_is_refused() -> None:
    with pytest.raises(ValueError, match="1 rows have no trained token"):
        row_weights(TASKS, np.array([1, 0, 1]))
    with pytest.raises(ValueError, match="weight above 0, chat has none"):
        row_weights(TASKS, TOKENS, {"math": 1})


SETTINGS = TrainSettings(max_steps=1, batch_rows=12, lora_rank=2, balance="source")


@pytest.fixture(scope="module")
def two_sources(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of 8 rows of one source and 4 of another, and none held out."""
    rows = [replace(row, source=f"{'ab'[n % 3 == 2]}.jsonl") for n, row in enumerate(make_rows(12))]
    folder = tmp_path_factory.mktemp("export") / "two"
    return export_for(tiny_model, folder, count_rows(rows, tiny_model))


@pytest.mark.slow
def test_the_trainer_takes_case_3_as_its_loss(
    two_sources: Path, tiny_model: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(two_sources)
    by_hand = checked_trainer(two_sources, manifest, tiny_model, tmp_path / "by hand", SETTINGS)
    trainer: Any = by_hand.trainer
    rows = trainer.train_dataset.select_columns(["input_ids", "labels"])
    losses = np.array([trainer.loss_of_batch([row])[0] for row in rows])
    sources = np.array(trainer.train_dataset["source"])
    tokens = np.array(trainer.train_dataset["loss_tokens"])
    expected = task_token_mean(losses, tokens, sources, dict.fromkeys(sources.tolist(), 1))
    balanced = train_adapter(two_sources, tiny_model, tmp_path / "balanced", SETTINGS)
    plain = SETTINGS.model_copy(update={"balance": None})
    assert balanced.losses[0] == pytest.approx(expected, rel=1e-5)
    unbalanced = train_adapter(two_sources, tiny_model, tmp_path / "plain", plain)
    assert unbalanced.losses[0] == pytest.approx(losses.sum() / tokens.sum(), rel=1e-5)
    assert abs(expected - losses.sum() / tokens.sum()) > 1e-3


@pytest.mark.slow
def test_balance_is_per_optimizer_step_and_not_per_pass(
    two_sources: Path, tiny_model: Path, tmp_path: Path
) -> None:
    pieces = SETTINGS.model_copy(update={"batch_rows": 3, "gradient_accumulation": 4})
    whole = train_adapter(two_sources, tiny_model, tmp_path / "whole", SETTINGS)
    in_pieces = train_adapter(two_sources, tiny_model, tmp_path / "pieces", pieces)
    assert in_pieces.losses[0] == pytest.approx(whole.losses[0], rel=1e-5)


@pytest.mark.slow
def test_with_one_source_balance_changes_nothing(
    tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    plain = SETTINGS.model_copy(update={"balance": None, "max_steps": 2})
    one = train_adapter(tiny_export, tiny_model, tmp_path / "plain", plain)
    balance = plain.model_copy(update={"balance": "source"})
    other = train_adapter(tiny_export, tiny_model, tmp_path / "balanced", balance)
    assert other.losses == pytest.approx(one.losses, rel=1e-6)
    assert one.heldout_after is not None and other.heldout_after is not None
    after = (one.heldout_after.nats_per_token, other.heldout_after.nats_per_token)
    assert after[0] == pytest.approx(after[1], rel=1e-6)


def test_the_gradient_is_that_of_the_weighted_loss(
    two_sources: Path, tiny_model: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(two_sources)
    trainer: Any = checked_trainer(two_sources, manifest, tiny_model, tmp_path, SETTINGS).trainer
    rows = [trainer.train_dataset[n] for n in range(4)]
    columns = ("input_ids", "labels", "loss_weights")
    batch = trainer.data_collator([{name: row[name] for name in columns} for row in rows])
    assert batch["loss_weights"].shape == batch["labels"].shape
    tokens = sum(row["loss_tokens"] for row in rows)
    trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=tokens).backward()
    found = [p.grad.clone() for p in trainer.model.parameters() if p.grad is not None]
    trainer.model.zero_grad()
    for row in rows:
        alone = trainer.data_collator([{name: row[name] for name in columns[:2]}])
        mean = trainer.compute_loss(trainer.model, dict(alone))
        (mean * row["loss_tokens"] * row["loss_weights"][0] / tokens).backward()
    expected = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert loss_of_rows(trainer, trainer.train_dataset).rows == 12


def test_weights_of_rows_count_in_the_loss_beside_balance(tiny_model: Path, tmp_path: Path) -> None:
    rows = make_rows(6)
    weighted = [replace(row, weight=0.25 if n == 1 else 1.0) for n, row in enumerate(rows)]
    export = export_for(tiny_model, tmp_path / "export", count_rows(weighted, tiny_model))
    manifest, plain = read_manifest(export), SETTINGS.model_copy(update={"balance": None})

    def weights(settings: TrainSettings, name: str) -> list[float]:
        trainer: Any = checked_trainer(
            export, manifest, tiny_model, tmp_path / name, settings
        ).trainer
        return [weight for (weight,) in trainer.train_dataset["loss_weights"]]

    assert weights(plain, "plain") == [1, 0.25, 1, 1, 1, 1]
    assert weights(SETTINGS, "balanced") == [1, 0.25, 1, 1, 1, 1], "of one source"


def test_rows_that_all_count_alike_are_given_no_weights(
    tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    plain = SETTINGS.model_copy(update={"balance": None})
    manifest = read_manifest(tiny_export)
    trainer: Any = checked_trainer(tiny_export, manifest, tiny_model, tmp_path, plain).trainer
    assert "loss_weights" not in trainer.train_dataset.column_names


def test_sources_count_what_the_recipe_gives_them_by_the_names_it_has(
    two_sources: Path, tiny_model: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(two_sources)
    weights = {"a.jsonl": 1.0, "b.jsonl": 3.0}
    settings = SETTINGS.model_copy(update={"balance": weights})
    trainer: Any = checked_trainer(two_sources, manifest, tiny_model, tmp_path, settings).trainer
    rows = trainer.train_dataset
    tokens, sources = np.array(rows["loss_tokens"]), np.array(rows["source"])
    counted = np.array([weight for (weight,) in rows["loss_weights"]]) * tokens
    shares = [counted[sources == name].sum() / counted.sum() for name in weights]
    assert shares == pytest.approx([0.25, 0.75], rel=1e-6)


def test_files_of_one_name_are_one_task_and_each_has_one_name() -> None:
    sources = ["raw/math/a.jsonl", "raw/math/b.jsonl", "raw/chat.jsonl"]
    assert task_names(sources, ("math", "chat.jsonl")) == ["math", "math", "chat.jsonl"]
    with pytest.raises(ValueError, match=r"raw/chat\.jsonl has 0 of the names math: give each"):
        task_names(sources, ("math",))
    with pytest.raises(ValueError, match=r"raw/chat\.jsonl has 2 of the names"):
        task_names(sources, ("raw", "chat.jsonl"))
