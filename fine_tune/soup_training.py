"""A training whose weights are the mean of several; a member that is finished is not redone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from fine_tune.files import weights_folder
from fine_tune.libraries import quiet_libraries
from fine_tune.one_training import claim_training, train_once
from fine_tune.report import (
    HeldOutLoss,
    OnStep,
    Training,
    TrainReport,
    read_train_report,
    write_train_report,
)
from fine_tune.settings import TrainSettings
from fine_tune.stages import join_reports, total_cost
from storage.error_notes import writing_to
from storage.exports_manifest import read_manifest

SOUP_FOLDER = "soup"


def train_soup(
    export: Path, model: Path, output: Path, settings: TrainSettings, on_step: OnStep | None
) -> TrainReport:
    """Train the members, and write their mean; see train_adapter.

    Raises:
        ValueError: if a greedy soup has no held-out rows to compare on.
    """
    greedy = settings.soup is not None and settings.soup.choose == "greedy"
    if greedy and not read_manifest(export).counts("validation").rows:
        raise ValueError(
            "a greedy soup compares held-out losses, and the export has no validation split: set "
            "select.held_out in the recipe, or choose: uniform"
        )
    training = claim_training(export, model, output, settings)
    report = read_train_report(output)
    if report is None:
        folders = [output / SOUP_FOLDER / str(n) for n in range(1, 1 + len(settings.members()))]
        reports = [
            train_once(export, model, folder, member, on_step)
            for folder, member in zip(folders, settings.members(), strict=True)
        ]
        with writing_to(output), quiet_libraries():
            report = stir(export, model, output, training, reports)
            total_cost(output, folders)
            write_train_report(output, report)
    shutil.rmtree(output / SOUP_FOLDER, ignore_errors=True)
    return report


def stir(
    export: Path, model: Path, output: Path, training: Training, reports: list[TrainReport]
) -> TrainReport:
    """Choose among the members, write the mean of the chosen, and say what it is worth."""
    from fine_tune.soups import heldout_of, write_mean

    settings, mean = training.settings, output / SOUP_FOLDER / "mean"
    weights = weights_folder(settings.tune)

    def loss_of(chosen: list[int]) -> HeldOutLoss:
        write_mean(model, [output / SOUP_FOLDER / str(1 + n) / weights for n in chosen], mean)
        return heldout_of(export, model, mean, output / SOUP_FOLDER, settings)

    losses = [each.heldout_after for each in reports]
    chosen = list(range(len(reports)))
    if settings.soup and settings.soup.choose == "greedy":
        alone = [loss.nats_per_token for loss in losses if loss]
        chosen = choose_greedily(alone, lambda members: loss_of(members).nats_per_token)
    after = loss_of(chosen) if losses[0] else None
    if after is None:
        write_mean(model, [output / SOUP_FOLDER / str(1 + n) / weights for n in chosen], mean)
    shutil.rmtree(output / weights, ignore_errors=True)
    mean.rename(output / weights)
    joined = join_reports(training, reports, "member")
    told = f", held-out loss {after.nats_per_token:.4f}" if after else ""
    note = f"the mean of {', '.join(str(1 + n) for n in chosen)} of {len(reports)}{told}"
    notes = (*joined.method_notes, f"soup: {note}")
    return joined.model_copy(update={"heldout_after": after, "method_notes": notes})


def choose_greedily(alone: list[float], loss_of: Callable[[list[int]], float]) -> list[int]:
    """Members of a mean, the best first, each because the mean is no worse with it.

    Args:
        alone: (n,) held-out loss of each member.
        loss_of: that of the mean of some.
    """
    order = sorted(range(len(alone)), key=lambda member: (alone[member], member))
    chosen, best = order[:1], alone[order[0]]
    for member in order[1:]:
        loss = loss_of([*chosen, member])
        if loss <= best:
            chosen, best = [*chosen, member], loss
    return chosen
