"""Model soups: the mean of trainings that differ in seed or rate alone.

    theta = 1/K sum_k theta_k          of an adapter  s B A = 1/K sum_k s B_k A_k, its rank K times

uniform takes all; greedy takes them by their held-out loss, and leaves one out with which the mean
is worse. For a training whose seed or rate is in doubt: one model is as good as the best of them,
and often better. Not for trainings from different starts. Costs all of them, and memory of two.

Wortsman et al. 2022, "Model soups", arXiv:2203.05482; of adapters PEFT's `cat`, which is exact:
its `linear` averages A and B, and that is not the mean of B A.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel

from fine_tune.checked_rows import checked_trainer, validation_rows
from fine_tune.evaluate import loss_of_rows
from fine_tune.libraries import quiet_libraries
from fine_tune.report import HeldOutLoss
from fine_tune.saved_weights import write_weights
from fine_tune.settings import TrainSettings
from fine_tune.trainer import load_chat_tokenizer, load_model
from storage.exports_manifest import read_manifest


def write_mean(model: Path, members: Sequence[Path], target: Path) -> None:
    """Write the mean of some trained weights.

    Args:
        model: folder of the model that they were trained from.
        members: folders of adapters, or of models, alike.
        target: folder for the mean.
    """
    shutil.rmtree(target, ignore_errors=True)
    tokenizer = load_chat_tokenizer(model)
    if (members[0] / "adapter_config.json").is_file():
        write_weights(mean_adapter(model, members), tokenizer, target)
        return
    mean = load_model(members[0], "full")
    with torch.no_grad():
        for number, member in enumerate(members[1:], start=2):
            others = dict(load_model(member, "full").named_parameters())
            for name, parameter in mean.named_parameters():
                parameter.lerp_(others[name], 1 / number)  # the mean of the first `number`
    write_weights(mean, tokenizer, target)


def mean_adapter(model: Path, members: Sequence[Path]) -> PeftModel:
    """A model with the mean of some adapters."""
    names = [f"member{number}" for number in range(len(members))]
    joined: PeftModel = PeftModel.from_pretrained(
        load_model(model), str(members[0]), adapter_name=names[0]
    )
    for name, member in zip(names[1:], members[1:], strict=True):
        joined.load_adapter(str(member), adapter_name=name)
    shares = [1 / len(members)] * len(members)
    joined.add_weighted_adapter(names, shares, "default", combination_type="cat")
    joined.set_adapter("default")
    for name in names:
        joined.delete_adapter(name)
    return joined


def heldout_of(
    export: Path, model: Path, weights: Path, output: Path, settings: TrainSettings
) -> HeldOutLoss:
    """The held-out loss of trained weights.

    Args:
        export: whose held-out rows.
        model: folder of the model that they were trained from.
        weights: folder of an adapter or a model.
        output: folder for what is kept meanwhile.
        settings: of their training.
    """
    plain = settings.model_copy(update={"methods": (), "mix": (), "balance": None})
    lora = settings.tune != "full"
    with quiet_libraries():
        trainer = checked_trainer(
            export,
            read_manifest(export),
            model if lora else weights,
            output,
            plain,
            weights if lora else None,
        ).trainer
        return loss_of_rows(trainer, validation_rows(trainer))
