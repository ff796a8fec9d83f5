"""Shards: what is missing is cut into pieces of work that need no database.

A shard is a Parquet file with the examples a measure needs. A worker reads it, asks the model, and
writes one result file under its final name when it is whole. The flow then commits result files to
DuckDB: one process writes the database, ever. A result that was finished before a kill is found by
its name and not computed again, for the same missing examples are always cut the same way.

Inputs are written some shards ahead of the work, and small result files are merged as they come in,
so that neither memory nor the number of files grows with the rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.code_version import code_version
from pipeline.measuring.measure import Measure
from pipeline.measuring.shard_work import MeasuredShard, Shard, measure_shard
from pipeline.progress import Report, tell_nobody
from scorers.measures.models.devices import resolve_device
from storage.conversations import content_hash
from storage.database import open_workspace, read_workspace
from storage.failed_rows import replace_rows
from storage.measurements import (
    MeasureKey,
    add_measure,
    commit_shards,
    merge_small_shards,
    read_missing,
    read_shards,
    read_sizes,
)
from storage.workspace import Workspace

GPU_FACTOR = 32
"""A GPU does so many times as much in a minute."""

SHARD_ROWS = 8_192
"""Rows in one shard at most, however short they are."""

COMMIT_SECONDS = 20.0
"""Of measuring that shards are committed together for; those of a model take longer each."""

INPUTS_AHEAD = 32
"""Shards whose inputs are read from the database together."""

LONG_TOKENS = 1 << 13
"""A row of as many is a long one: thousands of them do not fit into memory together."""

LONG_AHEAD = 1 << 23
"""Tokens of long rows whose inputs are read together, if that is more than one shard's."""


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The missing examples of a measure, cut into shards whose inputs are not written yet."""

    workspace: Workspace
    measure: Measure
    key: MeasureKey
    ids: pa.ChunkedArray
    """(n,) example ids in the order in which they are asked about."""
    tokens: NDArray[np.int64]
    """(n,) of prompt and response."""
    response_tokens: NDArray[np.int64]
    """(n,)"""
    borders: NDArray[np.int64]
    """(shards + 1,): shard s has the ids from borders[s] to borders[s + 1]."""
    after: Sequence[str] = ()
    """Of examples that are asked about again, the files that were stored before."""

    @property
    def rows(self) -> int:
        """Examples in all shards."""
        return len(self.ids)

    def __len__(self) -> int:
        """How many shards there are."""
        return len(self.borders) - 1

    def __iter__(self) -> Iterator[Shard]:
        """The shards in order, each with its input on disk."""
        long = np.where(self.tokens >= LONG_TOKENS, self.tokens, 0)
        in_shards = np.add.reduceat(long, self.borders[:-1]) if len(self) else long
        for first, end in pairwise(cut_by_size(in_shards, LONG_AHEAD, INPUTS_AHEAD).tolist()):
            numbers = range(first, end)
            pieces = [self._piece(number) for number in numbers]
            shards = [
                name_shard(self.workspace, self.measure, self.key, ids, self.after)
                for ids in pieces
            ]
            self._write_inputs(shards, pieces)
            yield from shards  # the next inputs are written when the first of them is asked for

    def _piece(self, number: int) -> list[str]:
        """The ids of a shard, sorted: its name and its rows do not depend on how it was cut."""
        start, end = self.borders[number], self.borders[number + 1]
        return sorted(self.ids.slice(start, end - start).to_pylist())

    def _write_inputs(self, shards: Sequence[Shard], pieces: Sequence[list[str]]) -> None:
        """Write the inputs of shards that have no result yet, with one reading for all."""
        missing = [number for number, shard in enumerate(shards) if not shard.done()]
        wanted = [example_id for number in missing for example_id in pieces[number]]
        if not wanted:
            return
        with read_workspace(self.workspace) as con:
            table = self.measure.inputs(con, wanted)
        indices = {example_id: place for place, example_id in enumerate(wanted)}  # rows of `table`
        for number in missing:
            rows = pa.array([indices[example_id] for example_id in pieces[number]])
            self.workspace.pending.write(shards[number].input, table.take(rows))


def cut_shards(
    workspace: Workspace,
    measure: Measure,
    ids: Sequence[str],
    sizes: MeasureKey | None = None,
    again: bool = False,
) -> ShardPlan:
    """Cut the examples that have no such measurement into shards.

    Examples with the same prompt stand side by side, and so do those whose prompts begin alike: a
    model reads together what they share.

    Args:
        workspace: where the examples and the measurements are.
        measure: what is wanted of them.
        ids: of the examples.
        sizes: token counts to cut by; without them a token is taken to have four characters.
        again: take all of the examples, whatever is stored of them.
    """
    key = measure.key()
    with open_workspace(workspace) as con:
        add_measure(con, key)
        missing = read_sizes(con, ids, sizes) if again else read_missing(con, key, ids, sizes)
        after = [path for path, _ in read_shards(con, key)] if again else []
        together = measure.whole_pool and len(missing) > 0
        if together:  # one missing row changes what is said of every other: all are asked again
            missing = read_sizes(con, ids, sizes)
    tokens = missing["tokens"].to_numpy()
    if together:
        borders = np.array([0, len(missing)])
    else:  # where nothing is missing the device is not asked for, which would load torch
        most = measure.shard_tokens * (GPU_FACTOR if len(missing) and on_gpu() else 1)
        borders = cut_by_size(tokens, most)
    ids, responses = missing["example_id"], missing["response_tokens"].to_numpy()
    return ShardPlan(workspace, measure, key, ids, tokens, responses, borders, after)


def on_gpu() -> bool:
    """Whether work is done on a GPU here."""
    return resolve_device() != "cpu"


def cut_by_size(
    tokens: NDArray[np.int64], most_tokens: int, most_rows: int = SHARD_ROWS
) -> NDArray[np.int64]:
    """Borders of pieces, each as long as it can be within `most_tokens` and `most_rows`.

    Args:
        tokens: (n,) of each row.
        most_tokens: in a piece; a row that has more is a piece of its own.
        most_rows: in a piece.
    """
    ends = np.cumsum(tokens)  # (n,) ends[i]: tokens of rows 0 to i, i included
    borders = [0]
    while borders[-1] < len(tokens):
        start = borders[-1]
        before = ends[start - 1] if start else 0
        # The first row whose end lies beyond the limit is the exclusive border; "right", so that a
        # piece of exactly most_tokens is whole.
        reach = int(np.searchsorted(ends, before + most_tokens, side="right"))
        borders.append(min(max(reach, start + 1), start + most_rows))  # one row at least
    return np.array(borders, dtype=np.int64)


def measure_here(
    workspace: Workspace,
    measure: Measure,
    ids: Sequence[str],
    sizes: MeasureKey | None = None,
    report: Report = tell_nobody,
) -> int:
    """Do all that is missing of a measure in this process, a shard at a time.

    Its arguments are those of cut_shards, and what is told how far it is.

    Returns:
        How many examples were missing.
    """
    cut = cut_shards(workspace, measure, ids, sizes)
    what, done = f"measure: {cut.key.measure}", 0
    with committing_together(partial(commit_measured, workspace, measure)) as commit:
        for shard in cut:
            report(what, done, cut.rows)
            commit(measure_shard(shard))
            done += shard.rows
    if done:
        report(what, done, cut.rows)
    return cut.rows


def name_shard(
    workspace: Workspace,
    measure: Measure,
    key: MeasureKey,
    ids: Sequence[str],
    after: Sequence[str] = (),
) -> Shard:
    """A shard is named by its content, so that the same work has the same name.

    Work that is done again is named by the files that were there before as well.
    """
    return Shard(
        measure=measure,
        key=key,
        code=code_version(),
        pending=workspace.pending,
        measurements=workspace.measurements,
        name=f"{content_hash([list(ids), *after] if after else list(ids))[:16]}.parquet",
        rows=len(ids),
    )


@contextmanager
def committing_together(
    commit: Callable[[Sequence[MeasuredShard]], None],
) -> Iterator[Callable[[MeasuredShard], None]]:
    """Take shards as they finish and commit quick ones together: each time the database is opened.

    What was taken is committed however the block ends. A kill loses none: a result that waits is
    found by its name.
    """
    waiting: list[MeasuredShard] = []

    def commit_all() -> None:
        if waiting:
            commit([*waiting])
            waiting.clear()

    def take(shard: MeasuredShard) -> None:
        waiting.append(shard)
        if sum(each.seconds for each in waiting) >= COMMIT_SECONDS:
            commit_all()

    try:
        yield take
    finally:
        commit_all()


def commit_measured(
    workspace: Workspace, measure: Measure, measured: Sequence[MeasuredShard], again: bool = False
) -> None:
    """Make finished shards part of the workspace and clear their inputs.

    Args:
        workspace: where they are.
        measure: what was done.
        measured: the shards.
        again: whether their examples have rows already, which they take the place of.
    """
    key = measure.key()
    folder = f"{key.measure}/{key.measure_key}"
    with open_workspace(workspace, views=False) as con:  # none is read
        commit = replace_rows if again else commit_shards
        commit(con, workspace, key, [(f"{folder}/{m.name}", m.seconds) for m in measured])
        merge_small_shards(con, workspace, key)
    for shard in measured:  # last: a kill before this leaves inputs behind, and loses no result
        workspace.pending.remove(f"{key.measure_key}/{shard.name}")
