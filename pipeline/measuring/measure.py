"""What a measure is, and what a run wants of it: of which examples, and by which settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeAlias

import pyarrow as pa

from pipeline.progress import Report
from pipeline.settings import Subset
from scorers.arrays import Ints
from storage.conversations import content_hash
from storage.database import Connection, read_workspace
from storage.examples import read_example_table, read_response_lengths
from storage.measurements import MeasureKey
from storage.workspace import Workspace

SHARD_TOKENS = 32_768
"""Tokens of the examples in one shard: a minute of work for a small model on two cores."""

TOKENIZER_SHARD_TOKENS = 1_048_576
"""The same where a tokenizer is all that is asked: some seconds of work."""

SAMPLING_SHARD_TOKENS = 4_096
"""The same where a model writes answers, which takes many times as long as reading them."""


class Measure(Protocol):
    """One way of asking a model about examples: frozen settings that can be sent anywhere."""

    whole_pool: ClassVar[bool]
    """Whether the examples must be asked about together, in one shard."""

    shard_tokens: ClassVar[int]
    """Tokens of the examples in one shard."""

    writes: ClassVar[bool]
    """Whether a model writes texts, which takes many times as long as reading them."""

    def key(self) -> MeasureKey:
        """Everything that can change the number."""
        ...

    def anywhere(self) -> bool:
        """Whether a worker on another machine can do it; else it is done where the run is."""
        ...

    def telling(self, report: Report) -> "Measure":
        """The same, telling how far it is within a shard where one takes long."""
        ...

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """What a worker needs to know of the examples, in the order of the ids."""
        ...

    def measure(self, examples: pa.Table) -> pa.Table:
        """Ask the model: columns example_id, state, detail and the numbers, one row for each."""
        ...

    def trial_inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The inputs of a plan, which has none of what other measures would have stored by then."""
        ...

    def tokens_read(self, tokens: Ints, response_tokens: Ints) -> Ints:
        """(n,) tokens that a model reads of rows with so many tokens (n,), of the response (n,)."""
        ...

    def predict_seconds(self, examples: pa.Table, tokens: Ints) -> float | None:
        """Seconds for all missing rows, told from the few that are tried.

        Args:
            examples: inputs of the rows that are tried.
            tokens: (n,) of all missing rows.

        Returns:
            None for a measure whose time grows with its tokens: then it is tried as it is.
        """
        ...


class ExampleInputs:
    """What most measures have in common: they need the conversation and nothing else."""

    whole_pool: ClassVar[bool] = False
    shard_tokens: ClassVar[int] = SHARD_TOKENS
    writes: ClassVar[bool] = False

    def anywhere(self) -> bool:
        """Anywhere: what it needs is in the shard."""
        return True

    def telling(self, report: Report) -> Self:
        """Nothing within a shard: each takes about a minute."""
        return self

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The stored examples."""
        return read_example_table(con, ids)

    def trial_inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The same as of a run."""
        return self.inputs(con, ids)

    def tokens_read(self, tokens: Ints, response_tokens: Ints) -> Ints:
        """(n,) each once."""
        return tokens

    def predict_seconds(self, examples: pa.Table, tokens: Ints) -> float | None:
        """Nothing special: its time grows with its tokens."""
        return None


@dataclass(frozen=True, slots=True)
class Repairs:
    """The repairs of a run."""

    key: str  # of their generation
    source_ids: Sequence[str]
    """The run's sources: what stands there was given, though it be a repair of something too."""


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """One measure and the examples it is wanted of."""

    measure: Measure
    ids: Sequence[str]
    pool: int
    """How many examples the pool has, so that a subset can be told from the whole."""
    note: str = ""
    """What the run says of it, behind the number of rows."""
    again: bool = False
    """Whether the examples have failed, and are asked about in place of that."""


Jobs: TypeAlias = Mapping[str, MeasureJob]
"""Name of a measure in a run → what is wanted of it."""


@dataclass(frozen=True, slots=True)
class MeasureScope:
    """The rows that the measures of a run are wanted of."""

    workspace: Workspace
    pool: Sequence[str]
    """Example ids."""
    seed: int
    """The recipe's, for measures that are wanted of a subset."""
    targets: Sequence[str] = ()
    """Examples that rows are compared with; they are measured like the pool for that."""
    repairs: Repairs | None = None

    def subset(self, part: Subset | None) -> list[str]:
        """The rows of the pool that the recipe's `part` stands for, sorted; all without one."""
        return choose_subset(self.workspace, part, self.pool, self.seed)

    def with_targets(self, measure: Measure) -> MeasureJob:
        """A measure that is wanted of the pool, and of the targets that it is compared with."""
        ids = sorted({*self.pool, *self.targets})
        alone = len(ids) - len(self.pool)
        note = f"; {alone} of them are targets only" if self.targets else ""
        return MeasureJob(measure, ids, len(ids), note)

    def job(self, measure: Measure, part: Subset | None = None) -> MeasureJob:
        """A measure that is wanted of a subset of the pool, or of all of it."""
        ids = self.subset(part) if part else self.pool
        return MeasureJob(measure, ids, len(self.pool))


def choose_subset(
    workspace: Workspace, part: Subset | None, ids: Sequence[str], seed: int
) -> list[str]:
    """The examples of a pool that a part stands for, sorted by id; all of them without a part.

    Examples are ranked by a hash of seed and id, so that a larger part contains a smaller one, and
    rows that come later move few of them.
    """
    if part is None:
        return sorted(ids)
    with read_workspace(workspace) as con:
        lengths = read_response_lengths(con, ids)
    longest = part.longest_response
    fitting = [i for i, length in lengths.items() if longest is None or length <= longest]
    # Drawn by the hash, then put in the order of the ids, in which shards are named.
    return sorted(sorted(fitting, key=lambda i: content_hash([seed, i]))[: part.rows])
