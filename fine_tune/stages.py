"""Stages of one training, each from the weights of the one before; a finished one is not redone."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from fine_tune.cost import COST_FILE, TrainCost, read_cost
from fine_tune.files import weights_folder, write_whole
from fine_tune.one_training import Begun, claim_training, train_once
from fine_tune.report import (
    OnStep,
    Training,
    TrainReport,
    read_train_report,
    write_train_report,
)
from fine_tune.settings import TrainSettings
from storage.error_notes import writing_to

STAGES_FOLDER = "stages"


def train_stages(
    export: Path, model: Path, output: Path, settings: TrainSettings, on_step: OnStep | None
) -> TrainReport:
    """Train stage after stage; see train_adapter. Held-out losses are all of the own export."""
    training = claim_training(export, model, output, settings)
    report = read_train_report(output)
    weights, folders = weights_folder(settings.tune), stage_folders(output, settings)
    if report is None:
        reports: list[TrainReport] = []
        for stage, folder in zip(settings.stages, folders, strict=True):
            begun, start = None, model
            if reports:
                before = folders[len(reports) - 1] / weights
                lora = settings.tune != "full"
                start = model if lora else before
                begun = Begun(before if lora else None, model, reports[-1].heldout_after)
            each = settings.of_stage(stage)
            reports.append(train_once(export, start, folder, each, on_step, begun))
        with writing_to(output):
            report = join_reports(training, reports)
            keep_last(output, folders, weights)
            total_cost(output, folders)
            write_train_report(output, report)
    shutil.rmtree(output / STAGES_FOLDER, ignore_errors=True)
    return report


def stage_folders(output: Path, settings: TrainSettings) -> list[Path]:
    """The folder of each stage, in that of the training."""
    return [output / STAGES_FOLDER / str(n) for n in range(1, 1 + len(settings.stages))]


def join_reports(
    training: Training, reports: list[TrainReport], part: str = "stage"
) -> TrainReport:
    """One report of all parts; the rows are those of the last."""
    last = reports[-1]
    notes = []
    for number, each in enumerate(reports, start=1):
        loss = each.heldout_after
        told = f", held-out loss {loss.nats_per_token:.4f}" if loss else ""
        notes.append(f"{part} {number}: {each.train.rows} rows in {each.steps} steps{told}")
        notes += [f"{part} {number}: {note}" for note in each.method_notes]
    return last.model_copy(
        update={
            "key": training.key,
            "training": training,
            "steps": sum(each.steps for each in reports),
            "losses": tuple(loss for each in reports for loss in each.losses),
            "heldout_before": reports[0].heldout_before,
            "method_notes": tuple(notes),
        }
    )


def keep_last(output: Path, folders: list[Path], weights: str) -> None:
    """Copy the weights of the last stage to where a training's are."""
    partial = output / f".{weights}.partial"
    for folder in (partial, output / weights):  # of one killed before its report
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(folders[-1] / weights, partial)
    partial.rename(output / weights)


def total_cost(output: Path, folders: list[Path]) -> None:
    """Write the cost of a training: that of its parts, together."""
    costs = [cost for folder in folders if (cost := read_cost(folder))]
    total = TrainCost(
        executions=max(each.executions for each in costs),
        seconds=round(sum(each.seconds for each in costs), 3),
        rows=sum(each.rows for each in costs),
        tokens=sum(each.tokens for each in costs),
        device=costs[-1].device,
        peak_memory_bytes=max(each.peak_memory_bytes for each in costs),
    )
    write_whole(output / COST_FILE, orjson.dumps(total.model_dump(mode="json")))
