"""Trainings that are there already, to be averaged: found, and held to what has a mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fine_tune.files import weights_folder
from fine_tune.method import Tuned
from fine_tune.outcome import training_folder
from fine_tune.report import REPORT_FILE, TrainReport, read_train_report, training_differences
from fine_tune.stage_settings import NamedTraining, Soup


def find_training(name: str, export: Path) -> Path:
    """The folder of a finished training.

    Args:
        name: its folder; or its id among the trainings of the workspace that the export lies in.
        export: an export's folder.

    Raises:
        ValueError: if there is none, or it has not finished.
    """
    for folder in (Path(name), training_folder(export, name)):
        if (folder / REPORT_FILE).is_file():
            return folder
    raise ValueError(
        f"soup: there is no finished training {name!r}: no report stands in {name} or in "
        f"{training_folder(export, name)}"
    )


def pin_soup(soup: Soup, export: Path) -> Soup:
    """The soup with the keys of the trainings that it names: those are part of what it is.

    Raises:
        ValueError: if one is not there, or is not what it must be.
    """
    pinned = []
    for named in soup.trainings:
        key = _report(find_training(named.training, export)).key
        if named.key not in (None, key):
            raise ValueError(f"soup: {named.training} is the training {key}, not {named.key}")
        pinned.append(named.model_copy(update={"key": key}))
    return soup.model_copy(update={"trainings": tuple(pinned)})


def named_reports(
    trainings: Sequence[NamedTraining], export: Path, fingerprint: str, tune: Tuned
) -> tuple[list[Path], list[TrainReport]]:
    """The folders of the weights of some trainings, and their reports.

    Args:
        trainings: that are named.
        export: see find_training.
        fingerprint: of the model that all must have been trained from.
        tune: what all must have trained.

    Raises:
        ValueError: if one is of another model, tunes something else, or has no weights of a mean.
    """
    folders = [find_training(each.training, export) for each in trainings]
    reports = [_report(folder) for folder in folders]
    members = [folder / weights_folder(tune) for folder in folders]
    for named, report, weights in zip(trainings, reports, members, strict=True):
        found, name = report.training, named.training
        if found.model_fingerprint != fingerprint:
            raise ValueError(f"soup: {name} was trained from another model, and has no mean with")
        if found.settings.tune != tune:
            raise ValueError(f"soup: {name} was trained with tune: {found.settings.tune}")
        for each in found.settings.all_methods():
            if each.no_mean:
                raise ValueError(f"soup: {name} is by {each.method}, which {each.no_mean}")
        if not weights.is_dir():
            raise ValueError(f"soup: {weights} is gone, which {name} was to be averaged by")
    return members, reports


def unlike(reports: Sequence[TrainReport]) -> list[str]:
    """In what each of some trainings differs from the first, a line for each that does."""
    first = reports[0].training
    lines = []
    for number, report in enumerate(reports[1:], start=2):
        if told := training_differences(report.training, first):
            lines.append(f"member {number} differs from member 1 in {', '.join(told)}")
    return lines


def _report(folder: Path) -> TrainReport:
    report = read_train_report(folder)
    assert report is not None  # found by it
    return report
