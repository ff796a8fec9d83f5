"""One optimizer step of a trainer, without the step: its loss and gradient, however it is cut."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fine_tune.checked_rows import checked_trainer
from fine_tune.libraries import quiet_libraries
from fine_tune.method import TrainingMethod
from fine_tune.settings import TrainSettings
from fine_tune.weighted_trainer import WeightedTrainer
from storage.exports_manifest import read_manifest

Row = Mapping[str, Any]
Gradients = dict[str, torch.Tensor]


def trainer_of(
    export: Path, model: Path, folder: Path, settings: TrainSettings | None = None
) -> WeightedTrainer:
    """A trainer whose adapter changes something, so that no gradient is 0 for that alone."""
    with quiet_libraries():
        checked = checked_trainer(
            export, read_manifest(export), model, folder, settings or TrainSettings(lora_rank=2)
        )
    torch.manual_seed(1)
    for name, parameter in checked.trainer.loaded_model().named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    checked.trainer.loaded_model().train()
    return checked.trainer


def step_of(
    trainer: WeightedTrainer,
    passes: Sequence[Sequence[Row]],
    methods: Sequence[TrainingMethod] = (),
    *,
    packed: bool = False,
) -> tuple[float, Gradients]:
    """The loss and gradient of an optimizer step of some passes of rows."""
    collator: Any = trainer.data_collator
    trainer.methods, collator.pad.padding_free = methods, packed
    batches = [collator(rows) for rows in passes]
    trainer.current_gradient_accumulation_steps = len(batches)
    items = trainer._get_num_items_in_batch(batches, torch.device("cpu"))
    trainer.loaded_model().zero_grad()
    total = 0.0
    for batch in batches:
        loss: Any = trainer.compute_loss(
            trainer.loaded_model(), dict(batch), num_items_in_batch=items
        )
        loss.backward()
        total += float(loss.detach())
    grads = {
        name: parameter.grad.clone()
        for name, parameter in trainer.loaded_model().named_parameters()
        if parameter.grad is not None
    }
    return total, grads


def difference(one: Gradients, other: Gradients) -> float:
    """The largest difference between two gradients."""
    assert one.keys() == other.keys() and one
    return max(float((one[name] - other[name]).abs().max()) for name in one)
