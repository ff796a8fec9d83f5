"""Train a LoRA adapter on an export: checked before, resumable during, written once.

1. What the folder is for is written down; another training's folder is refused.
2. The export is hashed and counted again, and TRL's own rows are compared with it, each one.
3. The held-out loss is measured, the adapter trained, the held-out loss measured again.
4. The adapter is written, then report.json. From then on the same call returns the report.

After `kill -9` at any moment the same call goes on from the last whole checkpoint. On a CPU the
adapter is then bit for bit that of a training that was not killed, given the same machine, library
versions and number of threads; on a GPU as far as its kernels are deterministic.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from fine_tune.balance import row_weights
from fine_tune.checkpoints import last_complete_checkpoint
from fine_tune.cost import CostMeter
from fine_tune.evaluate import loss_of_rows
from fine_tune.files import write_whole
from fine_tune.libraries import quiet_libraries
from fine_tune.prepared_rows import (
    TokenCount,
    load_trained,
    promised_counts,
    rendered_rows,
    trained_rows,
)
from fine_tune.report import (
    HeldOutLoss,
    Training,
    TrainReport,
    claim_folder,
    read_train_report,
    write_train_report,
)
from fine_tune.settings import TrainSettings
from fine_tune.verify_tokens import (
    ROWS_NAMED,
    SplitRows,
    compare_labels,
    require_chat_template,
    require_promised,
)
from scorers.measures.models.loading import resolve_model
from storage.error_notes import writing_to
from storage.exports_check import verify_export
from storage.exports_manifest import (
    SPLITS,
    ExportManifest,
    Split,
    SplitCounts,
    read_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datasets import Dataset

    from fine_tune.trainer import AdapterTrainer

ADAPTER_FOLDER = "adapter"
CHECKPOINTS_FOLDER = "checkpoints"
CACHE_FOLDER = "rows"
BEFORE_FILE = "heldout_before.json"
LIBRARIES = ("accelerate", "datasets", "peft", "tokenizers", "torch", "transformers", "trl")


def train_adapter(
    export: Path,
    model: Path,
    output: Path,
    settings: TrainSettings,
    on_step: Callable[[int, int, float], None] | None = None,
) -> TrainReport:
    """Train a LoRA adapter on the train split of an export.

    Args:
        export: an export's folder.
        model: folder of a causal language model, its tokenizer and chat template.
        output: folder for this training alone; `adapter/`, `report.json` and `cost.json` come to
            stand in it.
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
            trainer, counts = _checked_trainer(export, manifest, model, output, settings)
            trainer.on_step, trainer.meter = on_step, meter
            report = _run(trainer, training, counts, output)
    for folder in (CHECKPOINTS_FOLDER, CACHE_FOLDER):  # also of one killed after its report
        shutil.rmtree(output / folder, ignore_errors=True)
    return report


def _require_whole(export: Path, manifest: ExportManifest) -> None:
    require_chat_template(manifest)
    if problems := verify_export(export):
        raise ValueError(f"{export} is not what it says: {'; '.join(map(str, problems))}")


def _checked_trainer(
    export: Path, manifest: ExportManifest, model: Path, output: Path, settings: TrainSettings
) -> tuple[AdapterTrainer, SplitCounts]:
    """A trainer whose rows are those promised, and the counts of its train split."""
    from fine_tune.trainer import build_trainer, load_chat_tokenizer, prepared_rows

    cache = output / CACHE_FOLDER
    names = [split for split in SPLITS if manifest.counts(split).rows]
    if manifest.pretokenized:  # what TRL makes of the conversations, against the token ids
        compare_labels(export, model, settings.max_length)
    splits = {split: load_trained(manifest, export, split, cache) for split in names}
    given = dict(splits)
    splits["train"] = _weighted(splits["train"], balance=settings.balance is not None)
    trainer = build_trainer(model, splits, settings, output / CHECKPOINTS_FOLDER)
    prepared: dict[Split, Dataset] = {"train": prepared_rows(trainer)}
    if "validation" in splits:
        prepared["validation"] = _validation_rows(trainer)
    tokenizer = load_chat_tokenizer(model)
    compared = [
        SplitRows(
            split,
            trained_rows(rows) if manifest.pretokenized else rendered_rows(rows, tokenizer),
            promised_counts(rows),
            prepared[split],
        )
        for split, rows in given.items()
    ]
    totals = require_promised(compared, manifest.trained())
    _require_positions(trainer.longest_row(), [row for each in compared for row in each.counts])
    return trainer, totals["train"]


def _weighted(rows: Dataset, *, balance: bool) -> Dataset:
    """Rows with what their tokens count in the loss: the turn's weight, and what balances sources.

    Rows whose trained tokens all count 1 are without.
    """
    import numpy as np

    from fine_tune.trainer import LOSS_WEIGHTS

    ready = LOSS_WEIGHTS in rows.column_names  # of token ids: a weight for each
    columns = rows.with_format("numpy")
    # A list, for rows have different lengths; one weight counts for all tokens of its row.
    own = list(columns[LOSS_WEIGHTS]) if ready else list(np.array(columns["weight"])[:, None])
    factors = np.ones(len(rows))
    if balance:
        factors = row_weights(np.array(rows["source"]), np.array(rows["loss_tokens"]))
    # 0 is the weight of a token that is read only.
    alike = all(np.isin(weights, (0, 1)).all() for weights in own)
    rest = rows.remove_columns(LOSS_WEIGHTS) if ready else rows
    if alike and not balance:
        return rest
    weighed = [(ws * f).astype(np.float32) for ws, f in zip(own, factors, strict=True)]
    return rest.add_column(LOSS_WEIGHTS, weighed)


def _require_positions(limit: int | None, rows: Sequence[TokenCount]) -> None:
    """Refuse rows longer than the model was built for; it would train on them all the same."""
    long = [row.example_id for row in rows if limit and row.prompt_tokens + row.loss_tokens > limit]
    if long:
        raise ValueError(
            f"{len(long)} rows are longer than the {limit} tokens the model was built for, "
            f"{', '.join(long[:ROWS_NAMED])} among them"
        )


def _run(
    trainer: AdapterTrainer, training: Training, counts: SplitCounts, output: Path
) -> TrainReport:
    from transformers import set_seed

    has_heldout = trainer.eval_dataset is not None
    # Before the checkpoint is loaded: the adapter is fresh, and changes nothing yet.
    before = _heldout_before(trainer, output) if has_heldout else None
    checkpoint = last_complete_checkpoint(output / CHECKPOINTS_FOLDER)
    set_seed(training.settings.seed)  # what was done before must not show in the training
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    after = loss_of_rows(trainer, _validation_rows(trainer)) if has_heldout else None
    _write_adapter(trainer, output / ADAPTER_FOLDER)
    if trainer.meter:
        trainer.meter.write()
    report = TrainReport(
        key=training.key,
        training=training,
        train=counts,
        steps=trainer.state.global_step,
        losses=tuple(entry["loss"] for entry in trainer.state.log_history if "loss" in entry),
        heldout_before=before,
        heldout_after=after,
        heldout_note="" if has_heldout else "the export has no validation split",
        precision="bfloat16" if trainer.args.bf16 else "float32",
        libraries={name: version(name) for name in LIBRARIES},
    )
    write_train_report(output, report)
    return report


def _validation_rows(trainer: AdapterTrainer) -> Dataset:
    from datasets import Dataset

    rows = trainer.eval_dataset
    if not isinstance(rows, Dataset):
        raise TypeError(f"expected a Dataset of validation rows, got {type(rows).__name__}")
    return rows


def _heldout_before(trainer: AdapterTrainer, output: Path) -> HeldOutLoss:
    """The loss before training; a fresh adapter changes nothing, so it is the model's own."""
    path = output / BEFORE_FILE
    if not path.is_file():
        write_whole(path, orjson.dumps(loss_of_rows(trainer, _validation_rows(trainer))))
    return HeldOutLoss(**orjson.loads(path.read_bytes()))  # read back: resumed, the same number


def _write_adapter(trainer: AdapterTrainer, folder: Path) -> None:
    """Write adapter and tokenizer under another name, and rename the folder."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # of one killed before its report
    trainer.save_adapter(partial)
    partial.rename(folder)
