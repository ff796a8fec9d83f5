"""The rows a step of deduplication or selection decides about, as aligned arrays.

A pool reads a column when a step first asks for it and keeps it, so that a step which ranks a
million rows by a number reads that number and no text. Candidates are some of its rows.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.measure import embeddings_name
from pipeline.measuring.embeddings import ComparedField, TextField
from pipeline.run_context import RunContext
from pipeline.selection.picked import Picked
from scorers.arrays import Floats, Ints
from storage.conversations import content_hash
from storage.database import Connection
from storage.indexes import RowIndex, Words
from storage.measurements import read_measurements
from storage.pool_columns import (
    TextColumn,
    read_answered,
    read_pool_scores,
    read_pool_sources,
    read_pool_tokens,
    read_pool_vectors,
    read_text,
    read_texts_of,
    register_pool,
)
from storage.runs import Decisions, StageCount

Names = NDArray[np.object_]


class Pool:
    """All rows a stage may look at, in the order of their ids; columns are read as asked for."""

    def __init__(self, con: Connection, run: RunContext, ids: Sequence[str]) -> None:
        self.ids: Names = np.array(sorted(ids), dtype=object)
        self._con = con
        self._run = run
        self._texts: dict[TextColumn, Names] = {}
        self._scores: dict[str, tuple[Floats, Names]] = {}
        register_pool(con, self.ids.tolist())

    def text(self, name: TextColumn) -> Names:
        """(n,) a text column of the stored examples."""
        if name not in self._texts:
            self._texts[name] = read_text(self._con, name, len(self.ids))
        return self._texts[name]

    def score(self, name: str) -> tuple[Floats, Names]:
        """Values (n,), NaN where there is none, and states (n,) of a score of the recipe."""
        if name not in self._scores:
            key = self._run.scores[name]
            self._scores[name] = read_pool_scores(self._con, key, len(self.ids))
        return self._scores[name]

    def texts_of(self, of: TextField, ids: Sequence[str]) -> list[str]:
        """The compared text of some examples, in their order; read each time, and no other's."""
        return read_texts_of(self._con, of, ids)

    def vectors(self, of: ComparedField, places: Ints) -> NDArray[np.float32]:
        """Unit vectors (m, d) of the rows at these places; NaN where there is none."""
        slots = np.full(len(self.ids), -1, dtype=np.int64)
        slots[places] = np.arange(len(places))
        key = self._run.measures[embeddings_name(of)]
        column = "vector" if of == "hidden" else "embedding"
        return read_pool_vectors(self._con, key, column, slots)

    def vectors_key(self, of: ComparedField) -> str:
        """What those vectors are stored under."""
        return self._run.measures[embeddings_name(of)].measure_key

    def read_index(self, index: RowIndex) -> tuple[Words, NDArray[np.bool_]]:
        """What an index has of each row (n, width), and whether it has any (n,)."""
        return index.read(self._con, len(self.ids))

    def index(self, name: str, settings: Sequence[object], width: int) -> RowIndex:
        """The index of this workspace that is kept under these settings."""
        folder = f"{name}-{content_hash([name, *settings])[:16]}"
        return RowIndex(self._run.workspace.indexes / folder, width)

    @cached_property
    def tokens(self) -> tuple[Floats, Names]:
        """Response tokens (n,), NaN where they are not known, and states (n,)."""
        key = self._run.measures["token_counts"].measure_key
        return read_pool_tokens(self._con, key, len(self.ids))

    @cached_property
    def sources(self) -> tuple[Names, Names]:
        """Path (n,) and licence (n,) of the source each row was first read from."""
        return read_pool_sources(self._con, self._run.source_ids, len(self.ids))

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """(n,) whether a row has a response."""
        return read_answered(self._con, len(self.ids))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Some rows of a pool, in some order; every array is aligned with that."""

    pool: Pool
    places: Ints
    """(m,) rows of the pool."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def ids(self) -> Names:
        """(m,) example ids."""
        return self.pool.ids[self.places]

    @property
    def sources(self) -> Names:
        """(m,) path of the source each was first read from; "generated" where there is none."""
        return self.pool.sources[0][self.places]

    @property
    def licenses(self) -> Names:
        """(m,) licence of that source; "generated" where there is none."""
        return self.pool.sources[1][self.places]

    @property
    def states(self) -> Names:
        """(m,) states of the token counts."""
        return self.pool.tokens[1][self.places]

    @property
    def loss_tokens(self) -> Ints:
        """(m,) tokens the trainer takes a loss on; 0 where they are not known."""
        return np.nan_to_num(self.pool.tokens[0][self.places], nan=0).astype(np.int64)

    def score(self, name: str) -> Floats:
        """(m,) a score of the recipe, NaN where there is none."""
        return self.pool.score(name)[0][self.places]

    def score_states(self, name: str) -> Names:
        """(m,) the states of a score."""
        return self.pool.score(name)[1][self.places]

    def column(self, name: TextColumn) -> Names:
        """(m,) a text column of the stored examples."""
        return self.pool.text(name)[self.places]

    def texts(self, of: TextField) -> list[str]:
        """The text of each row that is compared; of both, one without a response has none."""
        if of != "both":
            return [str(text) for text in self.column(of)]
        parts = zip(self.column("prompt"), self.column("response"), strict=True)
        answered = self.pool.answered[self.places]
        return [
            f"{prompt}\n\n{response}" if has else ""
            for (prompt, response), has in zip(parts, answered, strict=True)
        ]

    def where(self, mask: NDArray[np.bool_]) -> "Candidates":
        """The rows where the mask is true."""
        return self.at(np.flatnonzero(mask))

    def at(self, places: Ints) -> "Candidates":
        """The rows at these places of this order, in the order given."""
        return Candidates(self.pool, self.places[places])


Vectors = Callable[[ComparedField, Candidates], Floats]
"""Reads the embeddings (n, d) of one text of the candidates."""


def read_candidates(con: Connection, run: RunContext, ids: Sequence[str]) -> Candidates:
    """All of these examples, in the order of their ids; columns follow when they are asked for."""
    return Candidates(Pool(con, run, ids), np.arange(len(ids)))


def read_vectors(con: Connection, run: RunContext, of: ComparedField, rows: Candidates) -> Floats:
    """(n, d) unit vectors of the rows, in their order; NaN where there is none."""
    ids = rows.ids.tolist()
    order = sorted(ids)
    key = run.measures[embeddings_name(of)]
    column = "vector" if of == "hidden" else "embedding"
    _, columns = read_measurements(con, key, (column,), order)
    places = {example_id: place for place, example_id in enumerate(order)}
    return columns[column][[places[example_id] for example_id in ids]]


def decide(candidates: Candidates, picked: Picked, states: Names | None = None) -> Decisions:
    """What a step picked, in the words of the `decisions` table.

    Args:
        candidates: the rows the step was given.
        picked: what it made of them.
        states: (n,) states of the score that decided, to say why a row has none.
    """
    ids = candidates.ids
    reasons = picked.reasons
    if states is not None:
        unscored = reasons == "no_score"
        reasons = reasons.copy()
        reasons[unscored] = [f"no_score:{state}" for state in states[unscored]]
    causes = [None if row < 0 else str(ids[row]) for row in picked.because_of.tolist()]
    values = [None if value != value else value for value in picked.value.tolist()]
    return Decisions(ids.tolist(), reasons.tolist(), causes, values)


def count_step(stage: str, step: int, label: str, decisions: Decisions) -> StageCount:
    """Balance the books of a step that keeps some rows and drops others."""
    dropped = [reason for reason in decisions.reasons if reason]
    return StageCount(
        stage=stage,
        step=step,
        label=label,
        rows_in=len(decisions.example_ids),
        kept=len(decisions.example_ids) - len(dropped),
        dropped=dict(sorted(Counter(dropped).items())),
    )
