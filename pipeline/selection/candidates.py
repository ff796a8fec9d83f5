"""The rows a step of deduplication or selection decides about, as aligned arrays.

A pool reads a column when a step first asks for it and keeps it, so that a step which ranks a
million rows by a number reads that number and no text. Candidates are some of its rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.measuring.measures.embeddings import STATES, ComparedField, embeddings_name
from pipeline.ranking.outcome import Outcome
from pipeline.run_context import RunContext
from pipeline.scoring.turn_scores import read_turn_scores, read_turn_tokens
from scorers.arrays import Floats, Ints
from storage import pool_columns
from storage.conversations import TextField, content_hash
from storage.database import Connection
from storage.examples import read_examples, read_trained_at
from storage.indexes import RowIndex, SignatureWords
from storage.licenses import read_licenses, read_writers_licenses
from storage.measurements import read_measurements, read_text_lists, read_texts
from storage.pool_columns import TextColumn
from storage.rejected import read_rejected_places
from storage.repairs import read_made, read_repair_places
from storage.reviews import read_marked_bad
from storage.sources import read_source_paths
from storage.texts import TextParts, read_text_parts, read_texts_of

Names = NDArray[np.object_]

NOWHERE = -1
"""In place of the place of a row that is not there, or not asked for."""


@dataclass(frozen=True, slots=True)
class TargetVectors:
    """What rows are compared with: an entry for each target and each source that it stands in."""

    ids: Names  # (m,)
    sources: Names  # (m,) paths
    vectors: Floats  # (m, d), NaN where there is none


class Pool:
    """All rows a stage may look at, in the order of their ids; columns are read as asked for."""

    def __init__(self, con: Connection, run: RunContext, ids: Sequence[str]) -> None:
        self.ids: Names = np.array(sorted(ids), dtype=object)
        self._con = con
        self._run = run
        self._texts: dict[TextColumn, Names] = {}
        self._scores: dict[str, tuple[Floats, Names]] = {}
        self._turn_scores: dict[str, Floats] = {}
        pool_columns.register_pool(con, self.ids.tolist())

    def text(self, name: TextColumn) -> Names:
        """(n,) a text column of the stored examples."""
        if name not in self._texts:
            self._texts[name] = pool_columns.read_text_column(self._con, name, len(self.ids))
        return self._texts[name]

    def score(self, name: str) -> tuple[Floats, Names]:
        """Values (n,), NaN where there is none, and states (n,) of a score of the recipe."""
        if name not in self._scores:
            key = self._run.scores[name]
            self._scores[name] = pool_columns.read_pool_scores(self._con, key, len(self.ids))
        return self._scores[name]

    def turn_score(self, name: str) -> Floats:
        """(n, k) a score of the recipe for each trained turn by itself, NaN where there is none."""
        if name not in self._turn_scores:
            key, ids = self._run.scores[name], self.ids.tolist()
            found = read_turn_scores(self._con, key, self._run.measures, ids)
            self._turn_scores[name] = found
        return self._turn_scores[name]

    @cached_property
    def turn_tokens(self) -> Floats:
        """(n, k) loss tokens of each trained turn; NaN behind a row's last one."""
        key = self._run.measures["token_counts"]
        return read_turn_tokens(self._con, key, self.ids.tolist())

    def trained_at(self, ids: Sequence[str]) -> list[list[int]]:
        """Indices of the trained turns of some examples among their messages; read anew."""
        return read_trained_at(self._con, ids)

    def texts_of(self, of: TextField, ids: Sequence[str]) -> list[str]:
        """The compared text of some examples, in their order; read each time, and no other's."""
        return read_texts_of(self._con, of, ids)

    def text_parts(self, ids: Sequence[str]) -> list[TextParts]:
        """Prompt and response of some examples, and where the last request begins; read anew."""
        return read_text_parts(self._con, ids)

    def crowded(self, opening: int, many: int) -> Ints:
        """(m,) rows whose prompts share so many first characters with `many` rows or more."""
        return pool_columns.read_crowded(self._con, opening, many)

    def alike_at_first(self, opening: int) -> Ints:
        """(m,) rows that share so many first characters with another, as far as they are long."""
        return pool_columns.read_alike_at_first(self._con, opening)

    def vectors(self, of: ComparedField, indices: Ints) -> NDArray[np.float32]:
        """Unit vectors (m, d) of the rows at these places; NaN where there is none."""
        slots = np.full(len(self.ids), NOWHERE, dtype=np.int64)  # (n,) row of the result
        slots[indices] = np.arange(len(indices))
        key = self._run.measures[embeddings_name(of)]
        column = STATES.get(of, "embedding")
        return pool_columns.read_pool_vectors(self._con, key, column, slots)

    @property
    def target_ids(self) -> list[str]:
        """Ids of the run's targets, sorted."""
        return list(self._run.target_ids)

    @cached_property
    def target_prompts(self) -> set[str]:
        """Ids of their prompts."""
        return {each.prompt_id for each in read_examples(self._con, self.target_ids)}

    def targets(self, of: ComparedField) -> TargetVectors:
        """The targets of the run, with their vectors of one text; read anew."""
        ids, column = self.target_ids, STATES.get(of, "embedding")
        key = self._run.measures[embeddings_name(of)]
        _, columns = read_measurements(self._con, key, (column,), ids)
        places = {example_id: at for at, example_id in enumerate(ids)}
        pairs = self._run.targets.pairs
        at = np.array([places[example_id] for example_id, _ in pairs], dtype=np.int64)
        paths = dict(read_source_paths(self._con, self._run.target_source_ids))
        return TargetVectors(
            np.array([example_id for example_id, _ in pairs], dtype=object),
            np.array([paths[source_id] for _, source_id in pairs], dtype=object),
            columns[column][at],
        )

    def vectors_key(self, of: ComparedField) -> str:
        """What those vectors are stored under."""
        return self._run.measures[embeddings_name(of)].measure_key

    def read_index(self, index: RowIndex) -> tuple[SignatureWords, NDArray[np.bool_]]:
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
        return pool_columns.read_pool_tokens(self._con, key, len(self.ids))

    @cached_property
    def tags(self) -> Names:
        """(n,) the tags of each row as a list of texts; None where there are none."""
        lists = read_text_lists(self._con, self._run.measures["tags"], "tags", self.ids.tolist())
        return as_objects(lists.lists)

    @cached_property
    def sources(self) -> tuple[Names, Names]:
        """Path (n,) and licence (n,) of the source each row was first read from."""
        paths = self._run.source_paths
        return pool_columns.read_pool_sources(self._con, self._run.source_ids, len(self.ids), paths)

    @cached_property
    def all_licenses(self) -> Names:
        """(n,) the licences of all sources a row stands in, or of what it was made from."""
        found = read_licenses(self._con, self.ids.tolist(), self._run.source_ids, self._run.run_id)
        return as_objects([tuple(found.get(example_id, ())) for example_id in self.ids])

    @cached_property
    def writers_licenses(self) -> Names:
        """(n,) the licences of all models that wrote a row, or what it was made from."""
        found = read_writers_licenses(self._con, self.ids.tolist(), self._run.source_ids)
        return as_objects([tuple(found.get(example_id, ())) for example_id in self.ids])

    @cached_property
    def languages(self) -> tuple[Names, Floats]:
        """Codes (n,), "" where there is none, and confidence (n,), NaN where there is none."""
        key, ids = self._run.measures["language"], self.ids.tolist()
        names = [name or "" for name in read_texts(self._con, key, "language", ids)]
        _, columns = read_measurements(self._con, key, ("confidence",), ids)
        return np.array(names, dtype=object), columns["confidence"]

    @cached_property
    def marked_bad(self) -> NDArray[np.bool_]:
        """(n,) whether the last verdict of a person on a row is that it is bad."""
        bad = set(read_marked_bad(self._con))
        return np.array([example_id in bad for example_id in self.ids], dtype=np.bool_)

    def members(self, path: str) -> NDArray[np.bool_]:
        """(n,) whether a row stands in a source, by the path that the recipe gives it."""
        return pool_columns.read_members(self._con, self._run.named_sources[path], len(self.ids))

    def prompt_rows(self, path: str) -> Ints:
        """(n,) how many rows of a source have the row's prompt."""
        return pool_columns.read_prompt_rows(
            self._con, self._run.named_sources[path], len(self.ids)
        )

    @cached_property
    def repairs(self) -> Ints:
        """(n,) the row that is each one's repair; -1 where none is in the pool."""
        key = self._run.repairs
        if key is None:
            return np.full(len(self.ids), NOWHERE, dtype=np.int64)
        return read_repair_places(self._con, key, len(self.ids))

    @cached_property
    def rejected(self) -> tuple[NDArray[np.bool_], Ints]:
        """Whether a row is the rejected answer of a pair alone (n,), and the chosen row (n,).

        The chosen row is -1 where it is not in the pool.
        """
        return read_rejected_places(self._con, self._run.source_ids, len(self.ids))

    @cached_property
    def made(self) -> NDArray[np.bool_]:
        """(n,) rows that are repairs and stand in no source of the run."""
        key = self._run.repairs
        made = set() if key is None else read_made(self._con, key, self._run.source_ids)
        return np.array([example_id in made for example_id in self.ids], dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Some rows of a pool, in some order; every array is aligned with that."""

    pool: Pool
    indices: Ints
    """(m,) rows of the pool."""
    aside: NDArray[np.bool_] | None = None
    """(m, k) trained turns that a step has made context only; None: all are trained."""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def ids(self) -> Names:
        """(m,) example ids."""
        return self.pool.ids[self.indices]

    @property
    def sources(self) -> Names:
        """(m,) path of the source each was first read from; "generated" where there is none."""
        return self.pool.sources[0][self.indices]

    @property
    def licenses(self) -> Names:
        """(m,) licence of that source; "generated" where there is none."""
        return self.pool.sources[1][self.indices]

    @property
    def tags(self) -> Names:
        """(m,) the tags of each prompt; None where they could not be had."""
        return self.pool.tags[self.indices]

    @property
    def all_licenses(self) -> Names:
        """(m,) the licences of all sources a row stands in."""
        return self.pool.all_licenses[self.indices]

    @property
    def writers_licenses(self) -> Names:
        """(m,) the licences of all models that wrote a row, or what it was made from."""
        return self.pool.writers_licenses[self.indices]

    @property
    def languages(self) -> tuple[Names, Floats]:
        """Codes (m,), "" where there is none, and confidence (m,)."""
        names, confidence = self.pool.languages
        return names[self.indices], confidence[self.indices]

    @property
    def marked_bad(self) -> NDArray[np.bool_]:
        """(m,) whether a person marked each bad."""
        return self.pool.marked_bad[self.indices]

    @property
    def states(self) -> Names:
        """(m,) states of the token counts."""
        return self.pool.tokens[1][self.indices]

    @property
    def loss_tokens(self) -> Ints:
        """(m,) tokens the trainer takes a loss on; 0 where they are not known."""
        tokens = np.nan_to_num(self.pool.tokens[0][self.indices], nan=0).astype(np.int64)
        if self.aside is None:
            return tokens
        lost = np.where(self.aside, self.pool.turn_tokens[self.indices], 0)
        left: Ints = tokens - np.nansum(lost, axis=1).astype(np.int64)
        return left

    @property
    def trained(self) -> NDArray[np.bool_]:
        """(m, k) the turns that are trained; False behind a row's last one too."""
        there = ~np.isnan(self.pool.turn_tokens[self.indices])
        return there if self.aside is None else there & ~self.aside

    def turn_score(self, name: str) -> Floats:
        """(m, k) a score for each trained turn by itself, NaN where there is none."""
        found = self.pool.turn_score(name)[self.indices]
        values = np.full((len(self), self.pool.turn_tokens.shape[1]), np.nan)
        k = min(values.shape[1], found.shape[1])  # rows that failed in one measure may be longer
        values[:, :k] = found[:, :k]
        return values

    def trained_turns(self) -> dict[str, list[int]]:
        """example_id → indices of its trained turns, of those of which some were put aside."""
        if self.aside is None:
            return {}
        some = np.flatnonzero(self.aside.any(axis=1))
        ids = self.ids[some].tolist()
        found = zip(ids, self.pool.trained_at(ids), self.aside[some], strict=True)
        return {
            example_id: [at for at, gone in zip(places, aside, strict=False) if not gone]
            for example_id, places, aside in found
        }

    def score(self, name: str) -> Floats:
        """(m,) a score of the recipe, NaN where there is none."""
        return self.pool.score(name)[0][self.indices]

    def score_states(self, name: str) -> Names:
        """(m,) the states of a score."""
        return self.pool.score(name)[1][self.indices]

    def are_targets(self) -> NDArray[np.bool_]:
        """(m,) rows that are targets of the run, or answers to the prompt of one."""
        prompts = self.pool.target_prompts  # a target itself has its own
        return np.array([each in prompts for each in self.column("prompt_id")], dtype=np.bool_)

    def members(self, path: str) -> NDArray[np.bool_]:
        """(m,) whether each stands in a source, by the path that the recipe gives it."""
        return self.pool.members(path)[self.indices]

    def prompt_rows(self, path: str) -> Ints:
        """(m,) how many rows of a source have the prompt of each."""
        return self.pool.prompt_rows(path)[self.indices]

    def repairs(self) -> Ints:
        """(m,) where in this order each one's repair is; -1 where it is not here."""
        return self._here(self.pool.repairs)

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """(m,) whether each is the rejected answer of a pair, and nothing else in the sources."""
        return self.pool.rejected[0][self.indices]

    def chosen_instead(self) -> Ints:
        """(m,) where in this order the chosen answer to each rejected one is; -1: not here."""
        return self._here(self.pool.rejected[1])

    def _here(self, places: Ints) -> Ints:
        """(m,) where in this order the rows of the pool are that (n,) its rows point to."""
        here = np.full(len(self.pool.ids), NOWHERE, dtype=np.int64)
        here[self.indices] = np.arange(len(self.indices))
        pointed = places[self.indices]
        return np.where(pointed == NOWHERE, NOWHERE, here[pointed])

    def made(self) -> NDArray[np.bool_]:
        """(m,) rows that are repairs and stand in no source of the run."""
        return self.pool.made[self.indices]

    def column(self, name: TextColumn) -> Names:
        """(m,) a text column of the stored examples."""
        return self.pool.text(name)[self.indices]

    def texts(self, of: TextField) -> list[str]:
        """The text of each row that is compared; of both, one without a response has none."""
        return self.pool.texts_of(of, self.ids.tolist())

    def where(self, mask: NDArray[np.bool_]) -> "Candidates":
        """The rows where the mask is true."""
        return self.at(np.flatnonzero(mask))

    def at(self, indices: Ints) -> "Candidates":
        """The rows at these places of this order, in the order given."""
        aside = None if self.aside is None else self.aside[indices]
        return Candidates(self.pool, self.indices[indices], aside)

    def left_by(self, outcome: Outcome) -> "Candidates":
        """The rows that a step has nothing against, less the turns that it takes away."""
        rows = self if outcome.turns is None else self.without(outcome.turns.aside)
        return rows.where(outcome.reasons == "")

    def without(self, aside: NDArray[np.bool_]) -> "Candidates":
        """All rows, these turns (m, k) no longer trained either."""
        return replace(self, aside=aside if self.aside is None else aside | self.aside)


def as_objects(values: Sequence[object]) -> Names:
    """(n,) an array of collections; `np.array` would make a table of those of one length."""
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


Vectors = Callable[[ComparedField, Candidates], NDArray[np.float32]]
"""Reads the embeddings (n, d) of one text of the candidates."""


def read_candidates(con: Connection, run: RunContext, ids: Sequence[str]) -> Candidates:
    """All of these examples, in the order of their ids; columns follow when they are asked for."""
    return Candidates(Pool(con, run, ids), np.arange(len(ids)))


def read_vectors(of: ComparedField, rows: Candidates) -> NDArray[np.float32]:
    """(n, d) unit vectors of the rows, in their order; NaN where there is none."""
    return rows.pool.vectors(of, rows.indices)
