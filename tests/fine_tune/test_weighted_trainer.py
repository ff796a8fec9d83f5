"""The one trainer: TRL's own where nothing is weighed, and exact however a step is cut."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trl.trainer.sft_trainer import SFTTrainer

from fine_tune.catalogue import Method
from fine_tune.collate import WeightedRows
from fine_tune.method import TrainingMethod
from fine_tune.methods.dft import DFT
from fine_tune.methods.poft import PoFT
from fine_tune.methods.tl_training import TLTraining
from fine_tune.weighted_trainer import WeightedTrainer
from storage.exports_manifest import IGNORED
from tests.fine_tune.steps import Row, difference, step_of, trainer_of

TL = TLTraining(method="tl_training")
POFT = PoFT(method="poft", perplexities=("perplexity",))


@pytest.fixture(scope="module")
def trainer(
    tiny_export: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> WeightedTrainer:
    made = trainer_of(tiny_export, tiny_model, tmp_path_factory.mktemp("trainer"))
    collator: Any = made.data_collator
    made.data_collator = WeightedRows(collator.pad, ("perplexity",))
    return made


@pytest.fixture(scope="module")
def rows(trainer: WeightedTrainer) -> list[Row]:
    """Four rows with weights that differ from token to token, and a score."""
    rng = np.random.default_rng(0)
    prepared: Any = trainer.train_dataset
    return [
        {
            "input_ids": row["input_ids"],
            "labels": row["labels"],
            "loss_weights": rng.random(len(row["labels"])).astype(np.float32),
            "score_perplexity": 20.0 + number,
        }
        for number, row in enumerate(prepared.select(range(4)))
    ]


def without(rows: Sequence[Row], *names: str) -> list[Row]:
    return [{name: row[name] for name in row if name not in names} for row in rows]


def alike(rows: Sequence[Row], weight: float) -> list[Row]:
    return [{**row, "loss_weights": [weight]} for row in rows]


@pytest.mark.parametrize("methods", [(), (DFT(method="dft"),), (TL,)])
def test_uniform_weights_are_stock_trl_to_the_bit(
    trainer: WeightedTrainer, rows: list[Row], methods: tuple[Method, ...]
) -> None:
    args: Any = trainer.args
    args.loss_type = "dft" if methods and methods[0].method == "dft" else "nll"
    loss, grads = step_of(trainer, [alike(rows[:2], 1.0), alike(rows[2:], 1.0)], methods)
    trainer.loaded_model().zero_grad()
    trainer.methods = ()
    collator: Any = trainer.data_collator
    batches = [collator.pad(without(each, "loss_weights")) for each in (rows[:2], rows[2:])]
    items = SFTTrainer._get_num_items_in_batch(trainer, batches, torch.device("cpu"))
    stock = 0.0
    for batch in batches:
        part: Any = SFTTrainer.compute_loss(  # type: ignore[no-untyped-call]
            trainer, trainer.model, dict(batch), num_items_in_batch=items
        )
        part.backward()
        stock += float(part.detach())
    args.loss_type = "nll"
    assert loss == stock
    for name, parameter in trainer.loaded_model().named_parameters():
        if parameter.grad is not None:
            assert float((parameter.grad - grads[name]).abs().max()) == 0.0


@pytest.mark.parametrize("methods", [(), (TL,), (POFT,)], ids=["tokens", "weights", "rows"])
def test_a_step_is_the_same_however_it_is_cut_and_packed(
    trainer: WeightedTrainer, rows: list[Row], methods: tuple[TrainingMethod, ...]
) -> None:
    whole, expected = step_of(trainer, [rows], methods)
    cuts = ([rows[:2], rows[2:]], [rows[:1], rows[1:]], [[row] for row in rows])
    for cut in cuts:
        for packed in (False, True):
            loss, grads = step_of(trainer, cut, methods, packed=packed)
            assert loss == pytest.approx(whole, rel=1e-6)
            assert difference(grads, expected) < 1e-6
    loss, grads = step_of(trainer, [rows], methods, packed=True)
    assert loss == pytest.approx(whole, rel=1e-6) and difference(grads, expected) < 1e-6


def test_the_weighted_loss_is_the_sum_of_what_each_token_counts(
    trainer: WeightedTrainer, rows: list[Row]
) -> None:
    nats, weights, tokens = 0.0, 0.0, 0
    for row in rows:
        model = trainer.loaded_model()
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        labels = torch.tensor(row["labels"])[1:]
        losses = torch.nn.functional.cross_entropy(
            logits, labels, ignore_index=IGNORED, reduction="none"
        )
        counts = torch.from_numpy(row["loss_weights"])[1:]
        nats += float((losses * counts).sum())
        weights += float(counts[labels != IGNORED].sum())
        tokens += int((labels != IGNORED).sum())
    assert step_of(trainer, [rows])[0] == pytest.approx(nats / tokens, rel=1e-5)
    assert step_of(trainer, [rows], (TL,))[0] == pytest.approx(nats / weights, rel=1e-5)


def test_a_weight_of_0_is_no_label_where_weights_divide(
    trainer: WeightedTrainer, rows: list[Row]
) -> None:
    at = len(rows[0]["labels"]) - 3
    weights = rows[0]["loss_weights"].copy()
    weights[at] = 0
    labels = list(rows[0]["labels"])
    labels[at] = IGNORED
    weighed = [{**rows[0], "loss_weights": weights}, rows[1]]
    masked = [{**rows[0], "labels": labels}, rows[1]]
    one, other = (step_of(trainer, [each], (TL,)) for each in (weighed, masked))
    assert one[0] == pytest.approx(other[0], rel=1e-6)
    assert difference(one[1], other[1]) < 1e-7


def test_the_held_out_loss_is_plain_whatever_the_method(
    trainer: WeightedTrainer, rows: list[Row]
) -> None:
    plain = without(rows, "loss_weights", "score_perplexity")
    trainer.methods = ()
    expected = trainer.loss_of_batch(plain)
    for methods in ((TL,), (POFT,), (DFT(method="dft"),)):
        trainer.methods = methods
        assert trainer.loss_of_batch(plain) == expected
    trainer.loaded_model().train()
