"""Leftovers: what a workspace holds and nobody needs, by kind, and its removal.

Nothing that a table names is ever a leftover, but for what is asked for: measurements that no run
used since a day are first taken out of the tables, together, and their files are leftovers then. A
kill in between leaves files that nothing names, which the next look finds.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil

from scorers.measures.training.trajectory_files import kept_models
from storage.database import Connection, open_tables
from storage.retention import (
    UnusedMeasure,
    covers,
    forget_files,
    forget_measures,
    read_kept_adapters,
    read_named_files,
    read_trainings,
    read_unused,
    read_warmups,
)
from storage.shard_files import ShardFiles, is_url
from storage.upgrade import COPIES
from storage.workspace import Workspace

OWNER = re.compile(r"\.(\d+)\.partial$")  # the process that writes a file, where its name tells
TRAINING_FOLDERS = ("checkpoints", "rows")

# Each kind, and why it can go.
WHY = {
    "pending": "inputs of measuring; a run writes those it needs again",
    "partial": "files that a process was writing when it ended",
    "partial exports": "exports that were not finished; a run writes them anew",
    "unnamed measurements": "no table names them: merged since, forgotten, or left by a kill; what "
    "a killed run had measured is among them, so finish that run first",
    "trainings": "checkpoints and prepared rows of trainings that are finished",
    "proxies": "checkpoints of trainings whose rows a later one with the same settings learnt too",
    "lost measurements": "tables name them and the files are gone; their rows are measured again",
    "unused measurements": "no run used them since the day given",
    "requests": "replies of endpoints; without them a repeated question is asked, and paid, again",
    "backups": "copies of the database from before a migration",
}


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file where the shards are, which may be a store."""

    files: ShardFiles
    name: str
    bytes: int

    def __str__(self) -> str:
        """Its whole path or URL."""
        return self.files.address(self.name)

    def exists(self) -> bool:
        """Whether it is there."""
        return self.files.exists(self.name)


@dataclass(frozen=True, slots=True)
class Leftover:
    """What can go of one kind."""

    kind: str
    paths: tuple[Path | ShardFile, ...]  # files, and folders with all that is in them
    files: int
    bytes: int
    unused: tuple[UnusedMeasure, ...] = ()  # measurements to take out of the tables first

    @property
    def why(self) -> str:
        """Why it can go."""
        return WHY[self.kind]


@dataclass(frozen=True, slots=True)
class RemovalOptions:
    """What may go besides what is never of use again."""

    unused_since: date | None = None
    lost: bool = False
    requests: bool = False
    backups: bool = False


def find_leftovers(con: Connection, workspace: Workspace, wanted: RemovalOptions) -> list[Leftover]:
    """What can go, by kind; kinds of which there is nothing are left out.

    Args:
        con: the workspace, its measurements' views not needed.
        workspace: the same workspace. No run may be going on in it.
        wanted: what may go only where it is asked for.
    """
    unused = read_unused(con, wanted.unused_since) if wanted.unused_since else []
    named = read_named_files(con)
    of_unused = {path for each in unused for path in each.paths}
    finders: dict[str, Callable[[], Iterable[Path | ShardFile]]] = {
        "pending": lambda: list_shards(workspace.pending),
        "partial": lambda: find_partial(workspace),
        "partial exports": lambda: workspace.exports.glob(".*.partial"),
        "unnamed measurements": lambda: find_unnamed(workspace, named),
        "trainings": lambda: find_trained(con, workspace),
        "proxies": lambda: find_superseded(con, workspace),
        "lost measurements": lambda: find_lost(workspace, named) if wanted.lost else (),
        "unused measurements": lambda: [
            *find_unused(workspace, unused, of_unused),
            *find_unused_warmups(con, workspace, unused),
        ],
        "requests": lambda: [workspace.requests] if wanted.requests else (),
        "backups": lambda: find_backups(workspace) if wanted.backups else (),
    }
    found = [
        measure_leftover(kind, find(), unused if kind == "unused measurements" else ())
        for kind, find in finders.items()
    ]
    return [each for each in found if each.paths or each.unused]


def measure_leftover(
    kind: str, paths: Iterable[Path | ShardFile], unused: Sequence[UnusedMeasure] = ()
) -> Leftover:
    """Count the files and bytes of a kind; a file that is gone counts as none."""
    lost = kind == "lost measurements"  # gone by definition: they are named, and 0 files
    kept = tuple(sorted((path for path in paths if lost or path.exists()), key=str))
    sizes = [size for path in kept for size in sizes_of(path)]
    return Leftover(kind, kept, 0 if lost else len(sizes), sum(sizes), tuple(unused))


def sizes_of(path: Path | ShardFile) -> list[int]:
    """Bytes of a file, or of all files in a folder."""
    if isinstance(path, ShardFile):
        return [path.bytes]
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return [file.stat().st_size for file in files]


def list_shards(files: ShardFiles) -> list[ShardFile]:
    """All files where shards are."""
    return [ShardFile(files, name, size) for name, size in files.sizes().items()]


def find_partial(workspace: Workspace) -> list[Path]:
    """Files and model folders that were being written by processes that are no more."""
    shards = (workspace.measurements, workspace.pending)  # in a store there are none
    roots = [Path(files.root) for files in shards if not is_url(files.root)]
    kept = (workspace.requests, workspace.models, workspace.snapshots)
    folders = (*roots, *kept, workspace.evaluations, workspace.indexes)
    paths = [path for folder in folders for path in folder.rglob("*partial*")]
    return [
        path
        for path in (*paths, *workspace.directory.glob(".*.partial"))
        if re.search(r"\.partial(\.npy)?$", path.name) and not owner_lives(path)
    ]


def owner_lives(path: Path) -> bool:
    """Whether the process whose number is in a partial file's name is still there."""
    owner = OWNER.search(path.name)
    return owner is not None and psutil.pid_exists(int(owner.group(1)))


def find_unnamed(workspace: Workspace, named: set[str]) -> list[ShardFile]:
    """Files of measurements that no table names."""
    return [each for each in list_shards(workspace.measurements) if each.name not in named]


def find_lost(workspace: Workspace, named: set[str]) -> list[ShardFile]:
    """Files of measurements that a table names and that are not there."""
    files = workspace.measurements
    return [ShardFile(files, name, 0) for name in named - files.sizes().keys()]


def find_trained(con: Connection, workspace: Workspace) -> list[Path]:
    """What finished trainings needed while they ran."""
    trained = [workspace.directory / path for path in read_kept_adapters(con)]
    return [folder / name for folder in trained for name in TRAINING_FOLDERS]


def find_superseded(con: Connection, workspace: Workspace) -> list[Path]:
    """Checkpoints of proxies of which another with the same settings learnt every row too.

    Their stored trajectories stay; new rows are read with the other's checkpoints from now on.
    """
    folders = {each: workspace.models / "proxies" / each.key for each in read_trainings(con)}
    kept = [each for each in folders if kept_models(folders[each])]
    superseded: list[Path] = []
    for smaller in kept:
        for larger in kept:
            # Of two that cover each other one must stay.
            if larger == smaller or folders[larger] in superseded:
                continue
            if larger.settings == smaller.settings and covers(con, workspace, larger, smaller):
                superseded.append(folders[smaller])
                break
    return [path for folder in superseded for path in kept_models(folder).values()]


def find_unused(
    workspace: Workspace, unused: Sequence[UnusedMeasure], paths: set[str]
) -> list[Path | ShardFile]:
    """Files of unused measurements, and the checkpoints that such trajectories were read from."""
    files = [each for each in list_shards(workspace.measurements) if each.name in paths]
    return [*files, *(workspace.models / "proxies" / each.measure_key for each in unused)]


def find_unused_warmups(
    con: Connection, workspace: Workspace, unused: Sequence[UnusedMeasure]
) -> list[Path]:
    """Warm-ups of adapters, where all gradients that were taken with them are unused."""
    keys = [each.measure_key for each in unused]
    gone = read_warmups(con, []) - read_warmups(con, keys)  # all, less those used without `keys`
    return [workspace.models / "warmups" / key for key in sorted(gone)]


def find_backups(workspace: Workspace) -> list[Path]:
    """Copies of the database from before a migration."""
    return list(workspace.directory.glob(f"{workspace.database.name}{COPIES}*"))


def remove_leftovers(workspace: Workspace, wanted: RemovalOptions) -> list[Leftover]:
    """Remove what can go; return what that was. No run may be going on in the workspace."""
    with open_tables(workspace) as con:
        found = find_leftovers(con, workspace, wanted)
        for leftover in found:
            if leftover.kind == "lost measurements":
                lost = [path for path in leftover.paths if isinstance(path, ShardFile)]
                forget_files(con, [path.name for path in lost])
            if leftover.unused:
                forget_measures(con, [each.measure_key for each in leftover.unused])
    for leftover in found:
        for path in leftover.paths:
            remove(path)
    return found


def remove(path: Path | ShardFile) -> None:
    """Remove a file, or a folder with all that is in it; what is gone already is no error."""
    if isinstance(path, ShardFile):
        path.files.remove(path.name)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
