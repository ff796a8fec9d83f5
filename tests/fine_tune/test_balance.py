"""Balanced losses: the four cases, the weights that make a token mean case 3, CoBa, the trainer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fine_tune.balance import FLOOR, coba_weights, loss_cases, row_weights
from fine_tune.evaluate import loss_of_rows
from fine_tune.settings import TrainSettings
from fine_tune.train import _checked_trainer, train_adapter
from storage.exports_manifest import read_manifest
from tests.fine_tune.tiny import count_rows, export_for, make_rows

TASKS = np.array(["math", "math", "chat"])
TOKENS = np.array([10, 30, 4])
LOSSES = np.array([10.0, 60.0, 2.0])


def test_the_four_cases_by_hand() -> None:
    cases = loss_cases(LOSSES, TOKENS, TASKS)
    assert cases.token_mean == pytest.approx(72 / 44)
    assert cases.row_mean == pytest.approx((1 + 2 + 0.5) / 3)
    assert cases.task_token_mean == pytest.approx((70 / 40 + 2 / 4) / 2)
    assert cases.task_row_mean == pytest.approx(((1 + 2) / 2 + 0.5) / 2)
    weighted = loss_cases(LOSSES, TOKENS, TASKS, {"math": 3, "chat": 1})
    assert weighted.task_token_mean == pytest.approx((3 * 70 / 40 + 2 / 4) / 4)


def test_equal_losses_per_token_make_all_cases_agree() -> None:
    cases = loss_cases(TOKENS * 1.7, TOKENS, TASKS)
    four = (cases.token_mean, cases.row_mean, cases.task_token_mean, cases.task_row_mean)
    assert four == pytest.approx((1.7,) * 4)


def test_repeating_the_rows_of_a_task_changes_only_the_cases_without_tasks() -> None:
    rows = np.array([0, 1, 0, 1, 0, 1, 2])
    once, often = (loss_cases(LOSSES[r], TOKENS[r], TASKS[r]) for r in (np.arange(3), rows))
    assert often.task_token_mean == pytest.approx(once.task_token_mean)
    assert often.task_row_mean == pytest.approx(once.task_row_mean)
    assert often.token_mean != pytest.approx(once.token_mean)
    assert often.row_mean != pytest.approx(once.row_mean)


def test_a_task_without_rows_adds_nothing() -> None:
    given = {"math": 1, "chat": 1, "law": 50}
    assert loss_cases(LOSSES, TOKENS, TASKS, given) == loss_cases(LOSSES, TOKENS, TASKS)


@pytest.mark.parametrize("weights", [None, {"math": 3, "chat": 1}])
def test_the_weighted_mean_over_tokens_is_case_3(weights: dict[str, float] | None) -> None:
    rows = row_weights(TASKS, TOKENS, weights)
    expected = loss_cases(LOSSES, TOKENS, TASKS, weights).task_token_mean
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
    with pytest.raises(ValueError, match="at least 1 token each"):
        loss_cases(LOSSES[:0], TOKENS[:0], TASKS[:0])


STEPS = np.arange(60)[:, None]
FALLING = 2.0 - STEPS * np.array([[0.004, 0.008, 0.012]])
BEFORE = np.array([2.0, 2.0, 2.0])


def test_coba_weights_are_shares_and_none_is_below_the_floor() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        losses = np.exp(rng.standard_normal((30, 4)).cumsum(axis=0) / 5)
        weights = coba_weights(losses, np.ones(4), window=10, warm_up=0)
        assert weights.sum() == pytest.approx(1)
        assert (weights >= FLOOR / 4).all()


def test_while_all_losses_fall_the_fastest_weighs_least() -> None:
    weights = coba_weights(FALLING, BEFORE, warm_up=0)
    assert weights[0] > weights[1] > weights[2]


def test_a_task_whose_loss_rises_gets_less_than_its_share() -> None:
    losses = FALLING.copy()
    losses[40:, 1] = losses[40, 1] + np.arange(20) * 0.1
    weights = coba_weights(losses, BEFORE, window=10, warm_up=0)
    assert weights[1] < 1 / 3 and weights[1] == weights.min()


def test_a_fall_that_gains_speed_is_weighed_by_relative_convergence_alone() -> None:
    speeds = np.array([1.0, 2.0, 3.0])  # DF would be above 1, and reward what ACS punishes
    losses = 2.0 - (STEPS / 100) ** 2 * speeds
    rcs = np.exp(-3 * speeds / 6) / np.exp(-3 * speeds / 6).sum()
    expected = np.exp(3 * rcs) / np.exp(3 * rcs).sum()
    np.testing.assert_allclose(coba_weights(losses, BEFORE, warm_up=0), expected)


def test_weights_are_equal_during_warm_up_and_where_nothing_moves() -> None:
    np.testing.assert_allclose(coba_weights(FALLING, BEFORE, warm_up=60), 1 / 3)
    np.testing.assert_allclose(coba_weights(np.ones((9, 3)), BEFORE, warm_up=0), 1 / 3)
    np.testing.assert_allclose(coba_weights(FALLING[:1], BEFORE, warm_up=0), 1 / 3)


def test_coba_refuses_what_is_no_loss() -> None:
    with pytest.raises(ValueError, match="above 0"):
        coba_weights(np.zeros((3, 2)), np.ones(2))
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(3,\)"):
        coba_weights(np.ones((3, 2)), np.ones(3))


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
    by_hand = _checked_trainer(two_sources, manifest, tiny_model, tmp_path / "by hand", SETTINGS)
    trainer: Any = by_hand[0]
    rows = trainer.train_dataset.select_columns(["input_ids", "labels"])
    losses = np.array([trainer.loss_of_batch([row])[0] for row in rows])
    sources = np.array(trainer.train_dataset["source"])
    cases = loss_cases(losses, np.array(trainer.train_dataset["loss_tokens"]), sources)
    balanced = train_adapter(two_sources, tiny_model, tmp_path / "balanced", SETTINGS)
    plain = SETTINGS.model_copy(update={"balance": None})
    assert balanced.losses[0] == pytest.approx(cases.task_token_mean, rel=1e-5)
    unbalanced = train_adapter(two_sources, tiny_model, tmp_path / "plain", plain)
    assert unbalanced.losses[0] == pytest.approx(cases.token_mean, rel=1e-5)
    assert abs(cases.task_token_mean - cases.token_mean) > 1e-3


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
    trainer: Any = _checked_trainer(two_sources, manifest, tiny_model, tmp_path, SETTINGS)[0]
    rows = [trainer.train_dataset[n] for n in range(4)]
    columns = ("input_ids", "labels", "row_weight")
    batch = trainer.data_collator([{name: row[name] for name in columns} for row in rows])
    assert batch["row_weight"].shape == (4,)
    tokens = sum(row["loss_tokens"] for row in rows)
    trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=tokens).backward()
    found = [p.grad.clone() for p in trainer.model.parameters() if p.grad is not None]
    trainer.model.zero_grad()
    for row in rows:
        alone = trainer.data_collator([{name: row[name] for name in columns[:2]}])
        mean = trainer.compute_loss(trainer.model, dict(alone))
        (mean * row["loss_tokens"] * row["row_weight"] / tokens).backward()
    expected = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert loss_of_rows(trainer, trainer.train_dataset).rows == 12
