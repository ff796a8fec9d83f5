"""Train on an export, LoRA or all weights: checked before, resumable during, written once.

1. What the folder is for is written down; another training's folder is refused.
2. The export is hashed and counted again, and TRL's own rows are compared with it, each one.
3. The held-out loss is measured, the adapter trained, the held-out loss measured again.
4. Adapter or model is written, then report.json. From then on the same call returns the report.

After `kill -9` at any moment the same call goes on from the last whole checkpoint. On a CPU what is
written is then bit for bit that of a training that was not killed, given the same machine, library
versions and number of threads; on a GPU as far as its kernels are deterministic.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from fine_tune.checkpoints import last_complete_checkpoint
from fine_tune.cost import CostMeter
from fine_tune.evaluate import loss_of_rows
from fine_tune.files import CACHE_FOLDER, CHECKPOINTS_FOLDER, write_whole
from fine_tune.libraries import quiet_libraries
from fine_tune.report import (
    HeldOutLoss,
    Training,
    TrainReport,
    claim_folder,
    read_train_report,
    write_train_report,
)
from fine_tune.settings import TrainSettings
from fine_tune.verify_tokens import require_chat_template
from scorers.measures.models.loading import resolve_model
from storage.error_notes import writing_to
from storage.exports_check import verify_export
from storage.exports_manifest import ExportManifest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from fine_tune.checked_rows import CheckedTrainer
    from fine_tune.weighted_trainer import WeightedTrainer

ADAPTER_FOLDER = "adapter"
MODEL_FOLDER = "model"
"""Where all of the weights were trained."""

BEFORE_FILE = "heldout_before.json"
LIBRARIES = ("accelerate", "datasets", "peft", "tokenizers", "torch", "transformers", "trl")


def train_adapter(
    export: Path,
    model: Path,
    output: Path,
    settings: TrainSettings,
    on_step: Callable[[int, int, float], None] | None = None,
) -> TrainReport:
    """Train a LoRA adapter, or all weights of a model, on the train split of an export.

    Args:
        export: an export's folder.
        model: folder of a causal language model, its tokenizer and chat template.
        output: folder for this training alone; `adapter/` or `model/`, `report.json` and
            `cost.json` come to stand in it.
        settings: see TrainSettings.
        on_step: called after each optimizer step with the step, the number of all steps, and the
            loss in nats per response token; after a resumed start, from the step resumed at.

    Returns:
        The report; the stored one, without any work, where this training was finished before.

    Raises:
        OtherTrainingError: if the folder belongs to another training.
        TokenMismatchError: if the trainer would drop or cut a row, or train another token of it.
        FloatingPointError: if the loss becomes infinite or not a number.
        ValueError: if the export is not what its manifest says, or has rows longer than the model
            has positions for.
    """
    manifest = read_manifest(export)
    fingerprint = resolve_model(str(model)).fingerprint
    training = Training(
        export_id=manifest.export_id, model_fingerprint=fingerprint, settings=settings
    )
    with writing_to(output):
        claim_folder(output, training)
    report = read_train_report(output)
    if report is None:
        _require_whole(export, manifest)
        meter = CostMeter(output)
        with quiet_libraries(), writing_to(output):
            from fine_tune.checked_rows import checked_trainer  # takes seconds

            checked = checked_trainer(export, manifest, model, output, settings)
            checked.trainer.on_step, checked.trainer.meter = on_step, meter
            report = _run(checked, training, model, output)
    for folder in (CHECKPOINTS_FOLDER, CACHE_FOLDER):  # also of one killed after its report
        shutil.rmtree(output / folder, ignore_errors=True)
    return report


def _require_whole(export: Path, manifest: ExportManifest) -> None:
    require_chat_template(manifest)
    if problems := verify_export(export):
        raise ValueError(f"{export} is not what it says: {'; '.join(map(str, problems))}")


def weights_folder(settings: TrainSettings) -> str:
    """The folder, in that of a training, of what it trained."""
    return ADAPTER_FOLDER if settings.tune == "lora" else MODEL_FOLDER


def _run(checked: CheckedTrainer, training: Training, model: Path, output: Path) -> TrainReport:
    from transformers import set_seed

    from fine_tune.checked_rows import validation_rows

    trainer = checked.trainer
    has_heldout = trainer.eval_dataset is not None
    # Before the checkpoint is loaded: the adapter is fresh, and changes nothing yet.
    before = _heldout_before(trainer, output) if has_heldout else None
    checkpoint = last_complete_checkpoint(output / CHECKPOINTS_FOLDER)
    set_seed(training.settings.seed)  # what was done before must not show in the training
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    notes = (*checked.notes, *trainer.finish_methods(model))
    after = loss_of_rows(trainer, validation_rows(trainer)) if has_heldout else None
    _write_weights(trainer, output / weights_folder(training.settings))
    if trainer.meter:
        trainer.meter.write()
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
        libraries={name: version(name) for name in LIBRARIES},
    )
    write_train_report(output, report)
    return report


def _heldout_before(trainer: WeightedTrainer, output: Path) -> HeldOutLoss:
    """The loss before training; a fresh adapter changes nothing, so it is the model's own."""
    from fine_tune.checked_rows import validation_rows

    path = output / BEFORE_FILE
    if not path.is_file():
        write_whole(path, orjson.dumps(loss_of_rows(trainer, validation_rows(trainer))))
    return HeldOutLoss(**orjson.loads(path.read_bytes()))  # read back: resumed, the same number


def _write_weights(trainer: WeightedTrainer, folder: Path) -> None:
    """Write adapter or model, and tokenizer, under another name, and rename the folder."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # of one killed before its report
    trainer.save_weights(partial)
    partial.rename(folder)
