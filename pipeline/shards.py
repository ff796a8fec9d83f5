"""Shards: what is missing is cut into pieces of work that need no database.

A shard is a Parquet file with the examples a measure needs. A worker reads it, asks the model, and
writes one result file under its final name when it is whole. The flow then commits result files to
DuckDB: one process writes the database, ever. A result that was finished before a kill is found by
its name and not computed again, for the same missing examples are always cut the same way.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import pyarrow as pa

from storage.conversations import content_hash
from storage.database import Connection, open_workspace
from storage.examples import read_example_table, read_lengths
from storage.measurements import MeasureKey, add_measure, commit_shards, missing_examples
from storage.parquet import read_parquet, write_parquet
from storage.workspace import Workspace

SHARD_CHARACTERS = 20_000
"""Text in one shard: seconds to minutes of work for a small model on two cores."""

SHARD_ROWS = 2_000
"""Rows in one shard at most, however short they are."""


class Measure(Protocol):
    """One way of asking a model about examples: frozen settings that can be sent anywhere."""

    whole_pool: ClassVar[bool]
    """Whether the examples must be asked about together, in one shard."""

    def key(self) -> MeasureKey:
        """Everything that can change the number."""
        ...

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """What a worker needs to know of the examples, sorted by example_id."""
        ...

    def measure(self, examples: pa.Table) -> pa.Table:
        """Ask the model: columns example_id, state, detail and the numbers, one row for each."""
        ...


@dataclass(frozen=True, slots=True)
class Shard:
    """One piece of work: paths alone, and what to do."""

    measure: Measure
    input: Path
    output: Path
    rows: int


@dataclass(frozen=True, slots=True)
class MeasuredShard:
    """A finished piece of work."""

    output: Path
    seconds: float


class ExampleInputs:
    """For measures that need the conversation and nothing else."""

    whole_pool: ClassVar[bool] = False

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The stored examples."""
        return read_example_table(con, ids)


def cut_shards(workspace: Workspace, measure: Measure, ids: Sequence[str]) -> list[Shard]:
    """Cut the examples that have no such measurement into shards, and write their inputs.

    Short examples come first, so that a shard holds rows of like length and pads little.
    """
    key = measure.key()
    with open_workspace(workspace) as con:
        add_measure(con, key)
        shards = []
        missing = missing_examples(con, key, ids)
        pieces = [sorted(ids)] if measure.whole_pool and missing else cut_by_size(con, missing)
        for piece in pieces:
            shard = name_shard(workspace, measure, key, piece)
            if not shard.output.exists():
                write_parquet(shard.input, measure.inputs(con, piece))
            shards.append(shard)
    return shards


def cut_by_size(con: Connection, ids: Sequence[str]) -> Iterator[list[str]]:
    """Cut ids, in their order, so that no piece has more text or rows than a shard may have."""
    lengths = read_lengths(con, ids)
    piece: list[str] = []
    characters = 0
    for example_id in ids:
        length = lengths[example_id]
        if piece and (characters + length > SHARD_CHARACTERS or len(piece) == SHARD_ROWS):
            yield piece
            piece, characters = [], 0
        piece.append(example_id)
        characters += length
    if piece:
        yield piece


def name_shard(
    workspace: Workspace, measure: Measure, key: MeasureKey, ids: Sequence[str]
) -> Shard:
    """A shard is named by its content, so that the same work has the same name."""
    name = f"{content_hash(list(ids))[:16]}.parquet"
    return Shard(
        measure=measure,
        input=workspace.pending / key.measure_key / name,
        output=workspace.measurements / key.measure / key.measure_key / name,
        rows=len(ids),
    )


def measure_shard(shard: Shard) -> MeasuredShard:
    """Do one piece of work: read its input, ask the model, write its result. Needs no database.

    Raises:
        ValueError: if the measure did not answer for exactly the examples it was given.
    """
    if shard.output.exists():
        return MeasuredShard(shard.output, seconds=0.0)
    examples = read_parquet(shard.input)
    started = time.perf_counter()
    answers = shard.measure.measure(examples)
    seconds = time.perf_counter() - started
    key = shard.measure.key()
    if answers["example_id"].to_pylist() != examples["example_id"].to_pylist():
        raise ValueError(f"{key.measure}: the result does not have the examples of its shard")
    keys = [key.measure_key] * len(answers)
    write_parquet(shard.output, answers.append_column("measure_key", [keys]))
    return MeasuredShard(shard.output, seconds)


def commit_measured(
    workspace: Workspace, measure: Measure, measured: Sequence[MeasuredShard]
) -> None:
    """Make finished shards part of the workspace and clear their inputs."""
    key = measure.key()
    with open_workspace(workspace) as con:
        commit_shards(con, workspace, key, [(m.output, m.seconds) for m in measured])
    for shard in measured:
        input_path = workspace.pending / key.measure_key / shard.output.name
        input_path.unlink(missing_ok=True)
