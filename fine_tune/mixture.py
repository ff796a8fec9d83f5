"""Which exports a training mixes, or looks at, found and held to what they were when it began."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from fine_tune.mixed_export import OWN, MixedExport
from fine_tune.named_trainings import pin_soup
from fine_tune.settings import TrainSettings
from fine_tune.stage_settings import TrainStage
from storage.exports_manifest import MANIFEST_FILE, read_manifest


class UnknownExportError(ValueError):
    """An export that a training is to read is not there, or not the one that was meant."""

    exit_code: ClassVar[int] = 2


def find_export(name: str, exports: Path) -> Path:
    """The folder of an export.

    Args:
        name: a folder; or in `exports` the name of a folder, or of the recipe that made one.
        exports: the folder that a workspace's exports lie in.

    Raises:
        UnknownExportError: if none is called so, or several are.
    """
    if (Path(name) / MANIFEST_FILE).is_file():
        return Path(name)
    known = sorted(each.parent.name for each in exports.glob(f"*/{MANIFEST_FILE}"))
    fitting = [each for each in known if name == each or each.rpartition("-")[0] == name]
    fitting = fitting or [each for each in known if recipe_of(each) == name]
    # Two runs that chose the same rows have written the same export.
    if len({read_manifest(exports / each).export_id for each in fitting}) != 1:
        raise UnknownExportError(
            f"train: {len(fitting)} exports are called {name!r}; give one of "
            f"{', '.join(fitting or known) or 'none, for ' + str(exports) + ' has no export'}, or "
            "the folder of another"
        )
    return exports / fitting[0]


def recipe_of(folder: str) -> str:
    """The recipe in the name of an export's folder, before its selection and run."""
    return folder.rsplit("-", 2)[0]


def pin_exports(settings: TrainSettings, export: Path) -> TrainSettings:
    """The settings with the ids of the exports that they name: those are part of what is trained.

    Args:
        settings: of a training.
        export: the one it is on; others are looked for beside it.

    Raises:
        UnknownExportError: if one is not found, or is not what it must be.
    """

    def pinned(mix: Sequence[MixedExport]) -> tuple[MixedExport, ...]:
        return tuple(pin(each, export) for each in mix)

    def at_once(part: TrainSettings | TrainStage) -> dict[str, object]:
        methods = tuple(each.pinned(partial(pin, export=export)) for each in part.methods)
        return {"mix": pinned(part.mix), "methods": methods}

    stages = [each.model_copy(update=at_once(each)) for each in settings.stages]
    soup = pin_soup(settings.soup, export) if settings.soup else None
    pinned_parts = {**at_once(settings), "stages": tuple(stages), "soup": soup}
    return settings.model_copy(update=pinned_parts)


def pin(mixed: MixedExport, export: Path) -> MixedExport:
    """One of them with its id; the own export's is the training's already."""
    if mixed.export == OWN:
        return mixed
    folder = find_export(mixed.export, export.resolve().parent)
    found = read_manifest(folder).export_id
    if mixed.export_id not in (None, found):
        raise UnknownExportError(
            f"train: {folder} is the export {found}, not {mixed.export_id}, which is asked for"
        )
    return mixed.model_copy(update={"export_id": found})


def draw_places(example_ids: Sequence[str], mixed: MixedExport, seed: int) -> list[int]:
    """(k,) places of the rows that are drawn, in their order; a smaller share is part of a larger.

    k is the share of the rows, rounded up, and at most `rows`.
    """
    count = mixed.drawn(len(example_ids))

    def lot(place: int) -> tuple[bytes, str]:
        name = example_ids[place]
        return hashlib.sha256(f"{seed} {name}".encode()).digest(), name

    return sorted(sorted(range(len(example_ids)), key=lot)[:count])
