"""One training, from the model or from what an earlier stage made of it; see train.py."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from fine_tune.checkpoints import last_complete_checkpoint
from fine_tune.cost import CostMeter
from fine_tune.evaluate import loss_of_rows
from fine_tune.files import CACHE_FOLDER, CHECKPOINTS_FOLDER, weights_folder, write_whole
from fine_tune.four_bits import LIBRARY
from fine_tune.libraries import quiet_libraries
from fine_tune.report import (
    HeldOutLoss,
    OnStep,
    Training,
    TrainReport,
    claim_folder,
    read_train_report,
    write_train_report,
)
from fine_tune.row_checks import require_trainable
from fine_tune.settings import TrainSettings
from scorers.measures.models.loading import resolve_model
from storage.error_notes import writing_to
from storage.exports_manifest import read_manifest

if TYPE_CHECKING:
    from fine_tune.checked_rows import CheckedTrainer
    from fine_tune.weighted_trainer import WeightedTrainer

BEFORE_FILE = "heldout_before.json"
LIBRARIES = ("accelerate", "datasets", "peft", "tokenizers", "torch", "transformers", "trl")


@dataclass(frozen=True, slots=True)
class Begun:
    """What the stages before have left to one that goes on."""

    adapter: Path | None
    """None where all weights are trained: the model is then what goes on."""
    origin: Path
    """The model before all stages."""
    heldout: HeldOutLoss | None
    """Of the weights it goes on with."""


def train_once(
    export: Path,
    model: Path,
    output: Path,
    settings: TrainSettings,
    on_step: OnStep | None = None,
    begun: Begun | None = None,
) -> TrainReport:
    """Train once; see train_adapter.

    Args:
        export: an export's folder.
        model: folder of the model.
        output: folder for this training alone.
        settings: without stages; what it mixes has its ids.
        on_step: see train_adapter.
        begun: what to go on from; None: the model alone.
    """
    training = claim_training(export, model, output, settings)
    report = read_train_report(output)
    if report is None:
        meter = CostMeter(output)
        with quiet_libraries(), writing_to(output):
            from fine_tune.checked_rows import checked_trainer  # takes seconds

            manifest = read_manifest(export)
            require_trainable(export, manifest)
            adapter = begun.adapter if begun else None
            checked = checked_trainer(export, manifest, model, output, settings, adapter)
            checked.trainer.on_step, checked.trainer.meter = on_step, meter
            report = _run(checked, training, output, begun or Begun(None, model, None))
    for folder in (CHECKPOINTS_FOLDER, CACHE_FOLDER):  # also of one killed after its report
        shutil.rmtree(output / folder, ignore_errors=True)
    return report


def claim_training(export: Path, model: Path, output: Path, settings: TrainSettings) -> Training:
    """The training of an export with a model, its folder made its own.

    Raises:
        OtherTrainingError: if the folder belongs to another.
    """
    training = Training(
        export_id=read_manifest(export).export_id,
        model_fingerprint=resolve_model(str(model)).fingerprint,
        settings=settings,
    )
    with writing_to(output):
        claim_folder(output, training)
    return training


def _run(checked: CheckedTrainer, training: Training, output: Path, begun: Begun) -> TrainReport:
    from transformers import set_seed

    from fine_tune.checked_rows import validation_rows

    trainer = checked.trainer
    has_heldout = trainer.eval_dataset is not None
    before = (begun.heldout or _heldout_before(trainer, output)) if has_heldout else None
    checkpoint = last_complete_checkpoint(output / CHECKPOINTS_FOLDER)
    set_seed(training.settings.seed)  # what was done before must not show in the training
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    notes = (*checked.notes, *trainer.finish_methods(begun.origin))
    after = loss_of_rows(trainer, validation_rows(trainer)) if has_heldout else None
    _write_weights(trainer, output / weights_folder(training.settings.tune))
    if trainer.meter:
        trainer.meter.write()
    quantizing = (LIBRARY,) if training.settings.tune == "qlora" else ()
    report = TrainReport(
        key=training.key,
        training=training,
        train=checked.counts,
        steps=trainer.state.global_step,
        losses=tuple(entry["loss"] for entry in trainer.state.log_history if "loss" in entry),
        heldout_before=before,
        heldout_after=after,
        heldout_note="" if has_heldout else "the export has no validation split",
        method_notes=notes,
        precision="bfloat16" if trainer.args.bf16 else "float32",
        libraries={name: version(name) for name in (*LIBRARIES, *quantizing)},
    )
    write_train_report(output, report)
    return report


def _heldout_before(trainer: WeightedTrainer, output: Path) -> HeldOutLoss:
    """The loss before training, without a fresh adapter: the model's own."""
    from fine_tune.checked_rows import validation_rows

    path = output / BEFORE_FILE
    if not path.is_file():
        with trainer.as_it_was():
            loss = loss_of_rows(trainer, validation_rows(trainer))
        write_whole(path, orjson.dumps(loss))
    return HeldOutLoss(**orjson.loads(path.read_bytes()))  # read back: resumed, the same number


def _write_weights(trainer: WeightedTrainer, folder: Path) -> None:
    """Write adapter or model, and tokenizer, under another name, and rename the folder."""
    from fine_tune.saved_weights import write_weights

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # of one killed before its report
    write_weights(trainer.loaded_model(), trainer.processing_class, partial)
    partial.rename(folder)
