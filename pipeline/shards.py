"""Shards: what is missing is cut into pieces of work that need no database.

A shard is a Parquet file with the examples a measure needs. A worker reads it, asks the model, and
writes one result file under its final name when it is whole. The flow then commits result files to
DuckDB: one process writes the database, ever. A result that was finished before a kill is found by
its name and not computed again, for the same missing examples are always cut the same way.

Inputs are written some shards ahead of the work, and small result files are merged as they come in,
so that neither memory nor the number of files grows with the rows.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.code_version import OtherWorkerError, check_code, code_version
from scorers.measures.devices import resolve_device
from storage.conversations import content_hash
from storage.database import Connection, open_workspace, read_workspace
from storage.examples import read_example_table
from storage.measurements import (
    MeasureKey,
    add_measure,
    commit_shards,
    merge_small_shards,
    read_missing,
    read_sizes,
)
from storage.shard_files import ShardFiles
from storage.workspace import Workspace

SHARD_TOKENS = 32_768
"""Tokens of the examples in one shard: a minute of work for a small model on two cores."""

SAMPLING_SHARD_TOKENS = 4_096
"""The same where a model writes answers, which takes many times as long as reading them."""

GPU_FACTOR = 32
"""A GPU does so many times as much in a minute."""

SHARD_ROWS = 8_192
"""Rows in one shard at most, however short they are."""

INPUTS_AHEAD = 32
"""Shards whose inputs are read from the database together."""


class Measure(Protocol):
    """One way of asking a model about examples: frozen settings that can be sent anywhere."""

    whole_pool: ClassVar[bool]
    """Whether the examples must be asked about together, in one shard."""

    shard_tokens: ClassVar[int]
    """Tokens of the examples in one shard."""

    def key(self) -> MeasureKey:
        """Everything that can change the number."""
        ...

    def anywhere(self) -> bool:
        """Whether a worker on another machine can do it; else it is done where the run is."""
        ...

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """What a worker needs to know of the examples, sorted by example_id."""
        ...

    def measure(self, examples: pa.Table) -> pa.Table:
        """Ask the model: columns example_id, state, detail and the numbers, one row for each."""
        ...


@dataclass(frozen=True, slots=True)
class Shard:
    """One piece of work: where its files are, what to do, and what the worker must be like."""

    measure: Measure
    key: MeasureKey
    """The measure's key where the work was cut."""
    code: str
    """The version of the code that cut it."""
    pending: ShardFiles
    measurements: ShardFiles
    name: str
    rows: int

    @property
    def input(self) -> str:
        """Name of the input, among those that are pending."""
        return f"{self.key.measure_key}/{self.name}"

    @property
    def output(self) -> str:
        """Name of the result, among the measurements."""
        return f"{self.key.measure}/{self.key.measure_key}/{self.name}"

    def done(self) -> bool:
        """Whether the result is there."""
        return self.measurements.exists(self.output)


@dataclass(frozen=True, slots=True)
class MeasuredShard:
    """A finished piece of work."""

    name: str
    seconds: float


class ExampleInputs:
    """For measures that need the conversation and nothing else."""

    whole_pool: ClassVar[bool] = False
    shard_tokens: ClassVar[int] = SHARD_TOKENS

    def anywhere(self) -> bool:
        """Anywhere: what it needs is in the shard."""
        return True

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The stored examples."""
        return read_example_table(con, ids)


@dataclass(frozen=True, slots=True)
class Cut:
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

    @property
    def rows(self) -> int:
        """Examples in all shards."""
        return len(self.ids)

    def __len__(self) -> int:
        """How many shards there are."""
        return len(self.borders) - 1

    def __iter__(self) -> Iterator[Shard]:
        """The shards in order, each with its input on disk."""
        for first in range(0, len(self), INPUTS_AHEAD):
            numbers = range(first, min(first + INPUTS_AHEAD, len(self)))
            pieces = [self._piece(number) for number in numbers]
            shards = [name_shard(self.workspace, self.measure, self.key, ids) for ids in pieces]
            self._write_inputs(shards, pieces)
            yield from shards

    def _piece(self, number: int) -> list[str]:
        start, end = self.borders[number], self.borders[number + 1]
        return sorted(self.ids.slice(start, end - start).to_pylist())

    def _write_inputs(self, shards: Sequence[Shard], pieces: Sequence[list[str]]) -> None:
        """Write the inputs of shards that have no result yet, with one reading for all."""
        missing = [number for number, shard in enumerate(shards) if not shard.done()]
        wanted = sorted(example_id for number in missing for example_id in pieces[number])
        if not wanted:
            return
        with read_workspace(self.workspace) as con:
            table = self.measure.inputs(con, wanted)
        places = {example_id: place for place, example_id in enumerate(wanted)}
        for number in missing:
            rows = pa.array([places[example_id] for example_id in pieces[number]])
            self.workspace.pending.write(shards[number].input, table.take(rows))


def cut_shards(
    workspace: Workspace, measure: Measure, ids: Sequence[str], sizes: MeasureKey | None = None
) -> Cut:
    """Cut the examples that have no such measurement into shards.

    Examples with the same prompt stand side by side, and so do those whose prompts begin alike: a
    model reads together what they share.

    Args:
        workspace: where the examples and the measurements are.
        measure: what is wanted of them.
        ids: of the examples.
        sizes: token counts to cut by; without them a token is taken to have four characters.
    """
    key = measure.key()
    with open_workspace(workspace) as con:
        add_measure(con, key)
        missing = read_missing(con, key, ids, sizes)
        together = measure.whole_pool and len(missing) > 0
        if together:
            missing = read_sizes(con, ids, sizes)
    most = measure.shard_tokens * (1 if resolve_device() == "cpu" else GPU_FACTOR)
    tokens = missing["tokens"].to_numpy()
    borders = np.array([0, len(missing)]) if together else cut_by_size(tokens, most)
    return Cut(
        workspace,
        measure,
        key,
        missing["example_id"],
        tokens,
        missing["response_tokens"].to_numpy(),
        borders,
    )


def cut_by_size(tokens: NDArray[np.int64], most_tokens: int) -> NDArray[np.int64]:
    """Borders of pieces, each as long as it can be within `most_tokens` and SHARD_ROWS.

    Args:
        tokens: (n,) of each row.
        most_tokens: in a piece; a row that has more is a piece of its own.
    """
    ends = np.cumsum(tokens)
    borders = [0]
    while borders[-1] < len(tokens):
        start = borders[-1]
        before = ends[start - 1] if start else 0
        reach = int(np.searchsorted(ends, before + most_tokens, side="right"))
        borders.append(min(max(reach, start + 1), start + SHARD_ROWS))
    return np.array(borders, dtype=np.int64)


def measure_here(
    workspace: Workspace, measure: Measure, ids: Sequence[str], sizes: MeasureKey | None = None
) -> int:
    """Do all that is missing of a measure in this process, a shard at a time.

    Its arguments are those of cut_shards.

    Returns:
        How many examples were missing.
    """
    cut = cut_shards(workspace, measure, ids, sizes)
    for shard in cut:
        commit_measured(workspace, measure, [measure_shard(shard)])
    return cut.rows


def name_shard(
    workspace: Workspace, measure: Measure, key: MeasureKey, ids: Sequence[str]
) -> Shard:
    """A shard is named by its content, so that the same work has the same name."""
    return Shard(
        measure=measure,
        key=key,
        code=code_version(),
        pending=workspace.pending,
        measurements=workspace.measurements,
        name=f"{content_hash(list(ids))[:16]}.parquet",
        rows=len(ids),
    )


def measure_shard(shard: Shard) -> MeasuredShard:
    """Do one piece of work: read its input, ask the model, write its result. Needs no database.

    Raises:
        OtherWorkerError: if here is other code than where the work was cut, or another model.
        ValueError: if the measure did not answer for exactly the examples it was given.
    """
    check_code(shard.code)
    if shard.done():
        return MeasuredShard(shard.name, seconds=0.0)
    check_key(shard)
    examples = shard.pending.read(shard.input)
    started = time.perf_counter()
    answers = shard.measure.measure(examples)
    seconds = time.perf_counter() - started
    if answers["example_id"].to_pylist() != examples["example_id"].to_pylist():
        raise ValueError(f"{shard.key.measure}: the result does not have the examples of its shard")
    keys = [shard.key.measure_key] * len(answers)
    shard.measurements.write(shard.output, answers.append_column("measure_key", [keys]))
    return MeasuredShard(shard.name, seconds)


def check_key(shard: Shard) -> None:
    """Refuse to store numbers under a key that is not theirs.

    Raises:
        OtherWorkerError: if the model is another one here, or would be computed otherwise.
    """
    here, there = shard.key, shard.measure.key()
    if here.measure_key == there.measure_key:
        return
    parts = {
        "model": (here.model_fingerprint, there.model_fingerprint),
        "template": (here.template_fingerprint, there.template_fingerprint),
        **{name: (here.settings[name], there.settings.get(name)) for name in here.settings},
    }
    other = ", ".join(f"{name} {b} instead of {a}" for name, (a, b) in parts.items() if a != b)
    raise OtherWorkerError(
        f"{here.measure} of {here.model}: this worker would measure something else than the run "
        f"asks for: {other}. Put the same model under the same name on every machine; where the "
        "dtype differs, name it in the recipe or start the run on a machine like the workers"
    )


def commit_measured(
    workspace: Workspace, measure: Measure, measured: Sequence[MeasuredShard]
) -> None:
    """Make finished shards part of the workspace and clear their inputs."""
    key = measure.key()
    folder = f"{key.measure}/{key.measure_key}"
    with open_workspace(workspace) as con:
        commit_shards(con, workspace, key, [(f"{folder}/{m.name}", m.seconds) for m in measured])
        merge_small_shards(con, workspace, key)
    pending = workspace.pending
    for shard in measured:
        pending.remove(f"{key.measure_key}/{shard.name}")
