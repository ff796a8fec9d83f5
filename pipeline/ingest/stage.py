"""Ingest stage: sources → conversations by content hash, and a quarantine for what is none.

Rows are streamed in batches, so memory does not grow with a source. A source is known by the hash
of its content: to see it again costs the hash. One cut short by a kill is read from its start.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Self

from pydantic import Field

from pipeline.ingest.bounds import bound_rows
from pipeline.ingest.hub_datasets import is_saved_dataset
from pipeline.ingest.readers import (
    HUB_PREFIX,
    MOST_ROW_BYTES,
    SourceFormat,
    UnreadableRow,
    read_rows,
    source_fingerprint,
)
from pipeline.ingest.rows import MAX_ROW_BYTES, cut_raw
from pipeline.ingest.shapes import UnreadableRowError, understand_row
from pipeline.ingest.snapshots import snapshot_query
from pipeline.ingest.unchanged import proving_unchanged
from pipeline.progress import Report, tell_nobody
from pipeline.settings import Settings
from storage.arriving_rows import ArrivingRows
from storage.conversations import Turns, content_hash
from storage.database import Connection, open_workspace
from storage.duckdb_instance import in_little_memory
from storage.examples import read_pool
from storage.runs import StageCount, write_step
from storage.sources import (
    QuarantinedRow,
    ReadRow,
    Source,
    add_source,
    complete_source,
    count_occurrences,
    count_quarantine,
    count_rejected,
)
from storage.table_queries import ENVIRONMENT_PREFIX
from storage.workspace import Workspace

ALL_TURNS: Turns = "all"
"""What is trained of a conversation where no recipe says otherwise."""

BATCH_ROWS, BATCH_BYTES = 50_000, 2**24  # rows held in memory at a time; or of so much text


class SourceSettings(Settings):
    """Sources: a file, a folder of them, a pattern, a dataset of a disk or hub, or a query."""

    path: str = Field(
        description="A file, a folder whose files are all read, a glob pattern, a directory "
        "written by `save_to_disk`, or hub:ORG/NAME:CONFIG@REVISION:SPLIT, the last three where "
        "wanted. With `query`: a DuckDB or SQLite file, or env:NAME, an environment variable with "
        "the URL of a database. Relative to the recipe."
    )
    query: str | None = Field(
        default=None,
        description="SQL; its answer is the source, one row each. Give it an `order by`.",
    )
    license: str = Field(
        default="unknown",
        description="Licence of the rows, an SPDX name; goes to the dataset card.",
    )
    format: SourceFormat | None = Field(
        default=None, description="How the file is written; told from its suffix if not given."
    )
    shape: str | None = Field(
        default=None,
        description="The shape of its rows; recognised row by row if not given.",
    )
    turns: Turns | None = Field(
        default=None,
        description="Assistant turns that are trained, `all` or the `last`; the recipe's `turns` "
        "if not given.",
    )
    max_row_bytes: int | None = Field(
        default=None,
        ge=1,
        le=MOST_ROW_BYTES,
        description="Bytes above which a row is not read and goes to the quarantine; 64 MiB if not "
        "given. A row takes several times its bytes in memory while it is read.",
    )

    def files(self) -> list[str]:
        """The sources that the path stands for, sorted; empty where it matches nothing."""
        if self.query is not None or self.path.startswith(HUB_PREFIX):
            return [self.path]
        path = Path(self.path)
        if path.is_dir() and self.format is None and not is_saved_dataset(path):
            return sorted(str(file) for file in path.rglob("*") if is_visible_file(file, path))
        if path.exists():
            return [self.path]
        return sorted(glob.glob(self.path, recursive=True))

    def placed(self, base: Path) -> Self:
        """The same source; its path, relative to `base`, as seen from the working directory."""
        if self.path.startswith((HUB_PREFIX, ENVIRONMENT_PREFIX)):
            return self
        return self.model_copy(update={"path": os.path.normpath(base / self.path)})


def is_visible_file(file: Path, folder: Path) -> bool:
    """Whether a file of a folder is meant to be read: nothing on its way is hidden by a dot."""
    return file.is_file() and not any(p.startswith(".") for p in file.relative_to(folder).parts)


def identify_sources(workspace: Workspace, settings: Sequence[SourceSettings]) -> list[Source]:
    """Hash every file that the settings name, once for each content, in the order named."""
    return distinct_sources(identify_block(workspace, block) for block in settings)


def distinct_sources(blocks: Iterable[Sequence[Source]]) -> list[Source]:
    """The sources of several blocks, once for each content, in the order named."""
    sources: dict[str, Source] = {}
    for source in chain.from_iterable(blocks):
        sources.setdefault(source.source_id, source)  # the first name stays
    return list(sources.values())


def identify_block(workspace: Workspace, block: SourceSettings) -> list[Source]:
    """Hash every file that one block of settings names."""
    files = block.files()
    if block.query is not None:
        files = [str(snapshot_query(workspace, block.path, block.query))]
    return [identify_source(workspace, name, block) for name in files]


def identify_source(workspace: Workspace, name: str, settings: SourceSettings) -> Source:
    """Hash one file; how it is read is part of its identity, for it changes what comes out."""
    path = Path(name)
    fingerprint, turns = source_fingerprint(name), settings.turns or ALL_TURNS
    identity = [fingerprint, settings.format, settings.shape]
    if turns != "last":  # all that there was once: what was read so keeps its id
        identity.append(turns)
    if settings.max_row_bytes is not None:
        identity.append(str(settings.max_row_bytes))
    return Source(
        source_id=content_hash(identity)[:16],
        path=stored_path(workspace, name),
        format=settings.format,
        shape=settings.shape,
        turns=turns,
        max_row_bytes=settings.max_row_bytes,
        license=settings.license,
        content_hash=fingerprint,
        bytes=path.stat().st_size if path.is_file() else 0,
    )


def stored_path(workspace: Workspace, name: str) -> str:
    """The path that a workspace keeps of a source: as seen from there, so both can be moved."""
    if name.startswith(HUB_PREFIX):
        return name
    # A link keeps its own name: in the cache of a hub its target has none that says a format.
    path = Path(os.path.abspath(name))
    return os.path.relpath(path.parent.resolve() / path.name, workspace.directory.resolve())


def exported_path(workspace: Workspace, path: str, base: Path) -> str:
    """The path of a source as an export says it, which depends on no workspace's place.

    It is as seen from a folder beside the recipe, where a workspace mostly is.

    Args:
        workspace: which keeps the path.
        path: as it keeps it.
        base: directory that the recipe's relative paths start from.
    """
    if path.startswith((HUB_PREFIX, f"{workspace.snapshots.name}/")):
        return path
    place = os.path.normpath(workspace.directory.resolve() / path)
    return os.path.relpath(place, base.resolve() / "workspace")


def ingest_sources(
    workspace: Workspace, sources: Sequence[Source], report: Report = tell_nobody
) -> None:
    """Read the sources that the workspace does not have yet, and report how far each is.

    Raises:
        UnreadableSourceError: if a whole source cannot be opened.
    """
    for source in sources:
        with open_workspace(workspace) as con, in_little_memory(con):
            if not add_source(con, source):
                hub = source.path.startswith(HUB_PREFIX)
                name = source.path if hub else str(workspace.directory / source.path)
                ingest_source(con, source, name, report)


def ingest_source(con: Connection, source: Source, name: str, report: Report) -> None:
    """Store one source to its end, a batch at a time; `name` is seen from the working directory."""
    what, most, done = f"ingest: reading {source.path}", None, 0
    report(what, done, most)
    with proving_unchanged(con, source, name):
        for batch in gather_rows(read_source(name, source), source.source_id):
            if not done:  # it can be read, or the first batch would have raised
                most = bound_rows(name, source.format)
            report(what, done, most)
            batch.write(con)
            done += len(batch)
    complete_source(con, source.source_id, done)
    report(what, done, done)


def gather_rows(rows: Iterable[ReadRow | QuarantinedRow], source_id: str) -> Iterator[ArrivingRows]:
    """Rows in batches that are bounded in rows and in bytes."""
    batch = ArrivingRows(source_id)
    for row in rows:
        batch.add(row)
        if len(batch) >= BATCH_ROWS or batch.bytes >= BATCH_BYTES:
            yield batch
            batch = ArrivingRows(source_id)
    if len(batch):
        yield batch


def read_source(name: str, source: Source | SourceSettings) -> Iterator[ReadRow | QuarantinedRow]:
    """Every row of a source, as a conversation or as one for the quarantine."""
    turns = source.turns or ALL_TURNS
    for row in read_rows(name, source.format, source.max_row_bytes or MAX_ROW_BYTES):
        if isinstance(row, UnreadableRow):
            yield QuarantinedRow(*cut_raw(row))
            continue
        try:
            found = understand_row(row.value, source.shape)
        except UnreadableRowError as error:
            refused = UnreadableRow(row.position, error.reason, error.detail, row.raw)
            yield QuarantinedRow(*cut_raw(refused))
        else:
            # Of a pair the last answers alone: it is those that the row compares.
            said = found.conversation if found.rejected else found.conversation.trained_on(turns)
            yield ReadRow(row.position, said, found.shape, found.rejected)


def count_ingest(
    workspace: Workspace, run_id: str, source_ids: Sequence[str], notes: Sequence[str] = ()
) -> StageCount:
    """Balance the books of the sources of a run, rows → distinct examples, and store them.

    A pair is one row and two examples, of which the rejected one is added.
    `notes` have what else is worth saying of what was read.
    """
    with open_workspace(workspace) as con:
        pool = read_pool(con, source_ids)
        read = count_occurrences(con, source_ids)
        quarantined = count_quarantine(con, source_ids)
        rejected = count_rejected(con, source_ids)  # examples of rows that have another besides
        repeats = read + rejected - len(pool)  # occurrences beyond the first of each example
        count = StageCount(
            stage="ingest",
            step=1,
            label="read",
            rows_in=read + sum(quarantined.values()),
            added=rejected,
            kept=len(pool),
            dropped={"exact_duplicate": repeats} if repeats else {},
            quarantined=quarantined,
            notes=tuple(notes),
        )
        write_step(con, run_id, count)
    return count
