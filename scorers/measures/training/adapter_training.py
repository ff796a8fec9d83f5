"""LoRA adapters that are warmed up on a few rows: the weights that gradients are taken of (LESS).

The model's own weights stay as they are; low-rank adapters on its attention are trained for a few
epochs, with AdamW and a rate that falls in a line. Weights and optimizer state are kept after each
epoch, for a gradient means something only at the weights it was taken at, and an update only with
the state of the optimizer.

    checkpoint-EPOCH/   adapters and optimizer after EPOCH, from 1
    trained.json        mean learning rate of each epoch; written last

A training that was killed goes on from its last epoch. Dropout stays off, as for a proxy.

Xia et al. 2024, "LESS", arXiv:2402.04333. Adapters from PEFT.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scorers.measures.models.devices import resolve_device
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.training.proxy_schedule import LinearSchedule, ProxySettings
from scorers.measures.training.proxy_training import ProxyTrainer
from scorers.measures.training.recorded_losses import forward_precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from scorers.measures.reading.chat_format import RenderedExample


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """The adapters, and how they are trained."""

    rank: int
    alpha: int  # an adapter's output is scaled by alpha / rank
    modules: tuple[str, ...]  # names of the layers that get an adapter
    training: ProxySettings
    """`checkpoints` and `train_share` have no say: there is one for each epoch, and all rows are
    trained on."""


def make_trainer(
    model: Path, rows: Sequence[RenderedExample], settings: AdapterSettings
) -> ProxyTrainer:
    """A model with fresh adapters, ready to be trained on the rows, or to load a checkpoint.

    Args:
        model: folder of the model; it is read only.
        rows: none of them longer than the window, none without a response.
        settings: see AdapterSettings.

    Raises:
        ValueError: if the model has no layer of the names in `modules`.
    """
    training = settings.training
    device = resolve_device(training.device)
    loaded = HuggingFaceLanguageModel.from_directory(model, "float32", device)
    add_adapters(loaded.model, settings)
    schedule = LinearSchedule.of(len(rows), training)
    return ProxyTrainer(loaded.model, rows, schedule, forward_precision(device, training))


def add_adapters(model: PreTrainedModel, settings: AdapterSettings) -> None:
    """Put adapters into a model, in place; nothing else of it asks for a gradient any more.

    The first matrix of each is drawn by the seed, on the processor, so that every device starts
    alike; the second is zero.
    """
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.modules),
        lora_dropout=0.0,
        bias="none",
    )
    inject_adapter_in_model(config, model)
    model.train(False)
    generator = torch.Generator().manual_seed(settings.training.seed)
    with torch.no_grad():
        # Sorted, so that the draws do not hang on the order in which a version lists layers.
        for name, parameter in sorted(model.named_parameters()):
            if not parameter.requires_grad:
                continue
            drawn = torch.zeros(parameter.shape)
            if "lora_A" in name:
                # As PEFT draws it, which takes no generator.
                torch.nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
            parameter.copy_(drawn)


def train_adapters(
    model: Path, rows: Sequence[RenderedExample], settings: AdapterSettings, directory: Path
) -> None:
    """Train on the rows, or go on where a killed training ended; nothing if it is finished.

    Args:
        model: folder of the model.
        rows: in an order that does not depend on where they came from.
        settings: see AdapterSettings.
        directory: of this training alone.

    Raises:
        ValueError: if there is no row.
        RuntimeError: if training diverges.
    """
    if not rows:
        raise ValueError("there is no row that adapters could be warmed up on")
    folders = checkpoint_folders(directory, settings.training.epochs)
    if epoch_rates(directory) and all(folder.is_dir() for folder in folders):
        return
    trainer = make_trainer(model, rows, settings)
    done = list(takewhile(Path.is_dir, folders))  # what lies behind a gap is made anew
    if done:
        trainer.load(done[-1])
    per_epoch = trainer.schedule.steps // settings.training.epochs  # without a remainder
    for epoch, folder in enumerate(folders, start=1):
        while trainer.steps_taken < epoch * per_epoch:
            trainer.step()
        if folder not in done:
            shutil.rmtree(folder, ignore_errors=True)
            trainer.save(folder)
    rates = LinearSchedule.of(len(rows), settings.training).epoch_rates()
    partial = directory / "trained.json.partial"
    partial.write_text(json.dumps({"rates": rates, "rows": len(rows)}))
    partial.replace(directory / "trained.json")


def checkpoint_folders(directory: Path, epochs: int) -> list[Path]:
    """Where the state after each epoch is kept, in their order."""
    return [directory / f"checkpoint-{epoch:04d}" for epoch in range(1, epochs + 1)]


def epoch_rates(directory: Path) -> list[float]:
    """Mean learning rate of each epoch of a finished training; empty if it is not finished."""
    mark = directory / "trained.json"
    if not mark.is_file():
        return []
    rates: list[float] = json.loads(mark.read_text())["rates"]
    return rates
