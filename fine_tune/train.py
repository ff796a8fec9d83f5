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

from pathlib import Path

from fine_tune.four_bits import require_library
from fine_tune.mixture import pin_exports
from fine_tune.one_training import train_once
from fine_tune.report import OnStep, TrainReport
from fine_tune.settings import TrainSettings
from fine_tune.soup_training import train_soup
from fine_tune.stages import train_stages


def train_adapter(
    export: Path,
    model: Path,
    output: Path,
    settings: TrainSettings,
    on_step: OnStep | None = None,
) -> TrainReport:
    """Train a LoRA adapter, or all weights of a model, on the train split of an export.

    Args:
        export: an export's folder.
        model: folder of a causal language model, its tokenizer and chat template.
        output: folder for this training alone; `adapter/` or `model/`, `report.json` and
            `cost.json` come to stand in it.
        settings: see TrainSettings. Exports that are mixed are those that they name now.
        on_step: called after each optimizer step with the step, the number of all steps, and the
            loss in nats per response token; after a resumed start, from the step resumed at.

    Returns:
        The report; the stored one, without any work, where this training was finished before.

    Raises:
        MissingLibraryError: if weights are to be in 4 bits, and bitsandbytes is not installed.
        UnknownExportError: if an export that is mixed cannot be found, or has become another.
        OtherTrainingError: if the folder belongs to another training.
        TokenMismatchError: if the trainer would drop or cut a row, or train another token of it.
        FloatingPointError: if the loss becomes infinite or not a number.
        ValueError: if the export is not what its manifest says, or has rows longer than the model
            has positions for.
    """
    require_library(settings.tune)
    pinned = pin_exports(settings, export)
    if pinned.stages:
        return train_stages(export, model, output, pinned, on_step)
    if pinned.soup:
        return train_soup(export, model, output, pinned, on_step)
    return train_once(export, model, output, pinned, on_step)
