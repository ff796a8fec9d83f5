"""A training whose weights are the mean of several; a member that is finished is not redone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from fine_tune.cost import CostMeter
from fine_tune.files import weights_folder
from fine_tune.libraries import quiet_libraries
from fine_tune.named_trainings import named_reports, unlike
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
from scorers.measures.models.loading import resolve_model
from storage.error_notes import writing_to
from storage.exports_manifest import SplitCounts, read_manifest

SOUP_FOLDER = "soup"


def train_soup(
    export: Path, model: Path, output: Path, settings: TrainSettings, on_step: OnStep | None
) -> TrainReport:
    """Write the mean of its members, which are trained where they are not named; see train_adapter.

    Raises:
        ValueError: if a greedy soup has no held-out rows to compare on, or a member that is named
            is not there, or has no mean with the others.
    """
    greedy = settings.soup is not None and settings.soup.choose == "greedy"
    if greedy and not read_manifest(export).counts("validation").rows:
        raise ValueError(
            "a greedy soup compares held-out losses, and the export has no validation split: set "
            "select.held_out in the recipe, or choose: uniform"
        )
    named = settings.soup.trainings if settings.soup else ()
    if named and read_train_report(output) is None:  # told before the folder is claimed
        named_reports(named, export, resolve_model(str(model)).fingerprint, settings.tune)
    training = claim_training(export, model, output, settings)
    report = read_train_report(output)
    if report is None:
        cook = soup_of_named if named else soup_of_seeds
        report = cook(export, model, output, training, on_step)
        with writing_to(output):
            write_train_report(output, report)
    shutil.rmtree(output / SOUP_FOLDER, ignore_errors=True)
    return report


def soup_of_seeds(
    export: Path, model: Path, output: Path, training: Training, on_step: OnStep | None
) -> TrainReport:
    """Train the members, those that are not finished, and write their mean."""
    members = training.settings.members()
    folders = [output / SOUP_FOLDER / str(n) for n in range(1, 1 + len(members))]
    reports = [
        train_once(export, model, folder, member, on_step)
        for folder, member in zip(folders, members, strict=True)
    ]
    weights = [folder / weights_folder(training.settings.tune) for folder in folders]
    losses = [each.heldout_after for each in reports]
    with writing_to(output), quiet_libraries():
        after, note = stir(export, model, output, training.settings, weights, losses)
        total_cost(output, folders)
    joined = join_reports(training, reports, "member")
    notes = (*joined.method_notes, note)
    return joined.model_copy(update={"heldout_after": after, "method_notes": notes})


def soup_of_named(
    export: Path, model: Path, output: Path, training: Training, _: OnStep | None
) -> TrainReport:
    """Write the mean of trainings that are there; held-out losses are all of this export.

    Raises:
        ValueError: see named_reports.
    """
    from fine_tune.soups import heldout_of

    settings = training.settings
    assert settings.soup is not None
    meter = CostMeter(output)
    weights, reports = named_reports(
        settings.soup.trainings, export, training.model_fingerprint, settings.tune
    )
    held_out = read_manifest(export).counts("validation").rows
    with writing_to(output), quiet_libraries():
        aside = output / SOUP_FOLDER
        losses = [
            heldout_of(export, model, each, aside, settings) if held_out else None
            for each in weights
        ]
        after, note = stir(export, model, output, settings, weights, losses)
        meter.write()
    told = [
        each.model_copy(update={"heldout_after": loss})
        for each, loss in zip(reports, losses, strict=True)
    ]
    joined = join_reports(training, told, "member")
    before = [
        each.heldout_before for each in reports if each.training.export_id == training.export_id
    ]
    return joined.model_copy(
        update={
            "train": SplitCounts(),  # nothing is trained here
            "steps": 0,
            "losses": (),
            "heldout_before": before[0] if before else None,
            "heldout_after": after,
            "heldout_note": "" if held_out else "the export has no validation split",
            "method_notes": (*joined.method_notes, *unlike(reports), note),
        }
    )


def stir(
    export: Path,
    model: Path,
    output: Path,
    settings: TrainSettings,
    members: list[Path],
    losses: list[HeldOutLoss | None],
) -> tuple[HeldOutLoss | None, str]:
    """Choose among members, write the mean of the chosen; its held-out loss, and a line about it.

    Args:
        export: whose held-out rows count.
        model: that they were trained from.
        output: the soup's folder.
        settings: of the soup.
        members: folders of weights.
        losses: held-out loss of each; None where the export holds no rows out.
    """
    from fine_tune.soups import heldout_of, write_mean

    mean, weights = output / SOUP_FOLDER / "mean", weights_folder(settings.tune)

    def loss_of(chosen: list[int]) -> HeldOutLoss:
        write_mean(model, [members[n] for n in chosen], mean)
        return heldout_of(export, model, mean, output / SOUP_FOLDER, settings)

    chosen = list(range(len(members)))
    if settings.soup and settings.soup.choose == "greedy":
        alone = [loss.nats_per_token for loss in losses if loss]
        chosen = choose_greedily(alone, lambda tried: loss_of(tried).nats_per_token)
    after = loss_of(chosen) if losses[0] else None
    if after is None:
        write_mean(model, [members[n] for n in chosen], mean)
    shutil.rmtree(output / weights, ignore_errors=True)
    mean.rename(output / weights)
    told = f", held-out loss {after.nats_per_token:.4f}" if after else ""
    named = ", ".join(str(1 + n) for n in chosen)
    return after, f"soup: the mean of {named} of {len(members)}{told}"


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
