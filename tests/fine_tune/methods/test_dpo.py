"""DPO's loss by hand, and beside TRL's own trainer."""

import math
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from fine_tune.methods.dpo import DPO, preference_margins
from fine_tune.settings import TrainSettings
from fine_tune.trainer import load_chat_tokenizer, load_model
from fine_tune.weighted_trainer import WeightedTrainer
from tests.fine_tune.fake_forward import FakeForward, pair_batch
from tests.fine_tune.steps import Gradients, difference, step_of, trainer_of
from tests.fine_tune.test_rejected_rows import COLUMNS, HAVING, WORSE, paired_rows
from tests.fine_tune.tiny import export_for

METHOD = DPO(method="dpo", beta=0.5)
STEEP = DPO(method="dpo", beta=20.0)


def test_the_loss_of_a_pair_by_hand() -> None:
    # Of the reference each token has -1: the second row gained 1 nat, its rejected answer lost 2.
    forward = FakeForward([[-1.5, -0.5], [-1.0, 0.0], [-3.0, -1.0]])
    batch = pair_batch(forward, [1])
    margins = preference_margins(batch)
    assert margins.tolist() == pytest.approx([3.0])
    loss = METHOD.batch_loss(batch)
    assert float(loss.detach()) == pytest.approx(-math.log(1 / (1 + math.exp(-0.5 * 3))))
    loss.backward()  # type: ignore[no-untyped-call]
    pull = 0.5 / (1 + math.exp(0.5 * 3))
    assert forward.gradient() == pytest.approx([0, 0, -pull, -pull, pull, pull])


def test_swapped_answers_turn_the_margin_round() -> None:
    given = [[-1.0, 0.0], [-3.0, -1.0]]
    ahead, behind = (
        preference_margins(pair_batch(FakeForward(rows), [0])) for rows in (given, given[::-1])
    )
    assert ahead.tolist() == [3.0] and behind.tolist() == [-3.0]


def test_a_batch_without_pairs_counts_nothing_and_is_read_as_often() -> None:
    forward = FakeForward([[-1.5, -0.5]])
    assert preference_margins(forward.batch()).tolist() == []
    with (
        patch.object(forward, "forward", wraps=forward.forward) as read,
        patch.object(forward, "reference", wraps=forward.reference) as read_before,
    ):
        loss = METHOD.batch_loss(forward.batch())
    assert (read.call_count, read_before.call_count) == (1, 1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0 and forward.gradient() == [0, 0]


def test_a_later_stage_has_no_reference() -> None:
    with pytest.raises(ValueError, match="dpo compares with the model without its adapter, which"):
        TrainSettings.model_validate({"stages": [{}, {"methods": [{"method": "dpo"}]}]})
    with pytest.raises(ValueError, match="dpo is not for tune: full"):
        TrainSettings.model_validate({"tune": "full", "methods": [{"method": "dpo"}]})


def trainer_of_pairs(model: Path, folder: Path) -> WeightedTrainer:
    export = export_for(model, folder / "export", paired_rows(model))
    settings = TrainSettings.model_validate({"lora_rank": 2, "methods": [STEEP.model_dump()]})
    return trainer_of(export, model, folder / "trained", settings)


def loss_of(trainer: WeightedTrainer) -> tuple[float, Gradients]:
    given: Any = trainer.train_dataset
    return step_of(trainer, [[{name: row[name] for name in COLUMNS} for row in given]], [STEEP])


def trl_trainer(model: Path, trainer: WeightedTrainer, folder: Path) -> DPOTrainer:
    """TRL's own, of the same pairs, with the weights of another trainer."""
    rows = paired_rows(model)
    pairs = [
        {
            "prompt": list(rows[place].prompt),
            "chosen": list(rows[place].completion),
            "rejected": [WORSE],
            "tools": list(rows[place].tools),
        }
        for place in HAVING
    ]
    args = DPOConfig(
        output_dir=str(folder), beta=STEEP.beta, use_cpu=True, bf16=False, report_to="none"
    )
    adapted: Any = trainer.loaded_model()
    found = DPOTrainer(
        model=load_model(model),
        args=args,
        train_dataset=Dataset.from_list(pairs),
        processing_class=load_chat_tokenizer(model),
        peft_config=adapted.peft_config["default"],
    )
    weights = dict(adapted.named_parameters())
    for name, each in found.model.named_parameters():  # type: ignore[union-attr]
        each.data.copy_(weights[name].data)
    return found


@pytest.mark.slow
def test_loss_and_gradient_are_those_of_trls_own_trainer(tiny_model: Path, tmp_path: Path) -> None:
    ours = trainer_of_pairs(tiny_model, tmp_path)  # with an adapter that changes something
    theirs: Any = trl_trainer(tiny_model, ours, tmp_path / "trl")
    loss, gradient = loss_of(ours)
    found = theirs.compute_loss(theirs.model, theirs.data_collator([*theirs.train_dataset]))
    found.backward()
    assert abs(loss - math.log(2)) > 1e-2, "it is no step 0"
    assert loss == pytest.approx(float(found.detach()), rel=1e-6)
    other = {n: each.grad for n, each in theirs.model.named_parameters() if each.grad is not None}
    largest = max(float(each.abs().max()) for each in other.values())
    assert difference(gradient, other) < 2e-6 * largest and largest > 1


@pytest.mark.slow
def test_the_first_loss_of_a_training_is_log_2(tiny_model: Path, tmp_path: Path) -> None:
    trainer = trainer_of_pairs(tiny_model, tmp_path)
    for name, each in trainer.loaded_model().named_parameters():
        if "lora_B" in name:
            each.data.zero_()  # as every fresh adapter is
    assert loss_of(trainer)[0] == pytest.approx(math.log(2), abs=1e-7)
