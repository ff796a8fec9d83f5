"""The rows a step of deduplication or selection decides about, as aligned arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.measure import embeddings_name
from pipeline.measuring.embeddings import ComparedField
from pipeline.run_context import RunContext
from pipeline.selection.picked import Picked
from scorers.arrays import Floats, Ints
from storage.database import Connection
from storage.examples import read_example_table, read_first_sources
from storage.measurements import read_measurements, read_texts
from storage.runs import Decisions, StageCount
from storage.scores import read_scores

Names = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Aligned columns; as read, in the order of the ids."""

    ids: Names
    rows: Sequence[Mapping[str, Any]]
    """The stored examples."""
    sources: Names
    """Path of the source each row was first read from; "generated" where there is none."""
    states: Names
    """State of the token counts."""
    loss_tokens: Ints
    """Tokens the trainer takes a loss on; 0 where they are not known."""
    scores: Mapping[str, Floats]
    score_states: Mapping[str, Names]
    languages: tuple[Names, Floats] | None = None
    """Codes, "" where there is none, and confidence; None where the run does not measure them."""

    def column(self, name: str) -> Names:
        """A text column of the stored examples."""
        return np.array([row[name] for row in self.rows], dtype=object)

    def where(self, mask: NDArray[np.bool_]) -> "Candidates":
        """The rows where the mask is true."""
        return self.at(np.flatnonzero(mask))

    def at(self, places: Ints) -> "Candidates":
        """The rows at these places, in this order."""
        return Candidates(
            ids=self.ids[places],
            rows=[self.rows[place] for place in places],
            sources=self.sources[places],
            states=self.states[places],
            loss_tokens=self.loss_tokens[places],
            scores={name: values[places] for name, values in self.scores.items()},
            score_states={name: states[places] for name, states in self.score_states.items()},
            languages=self.languages and (self.languages[0][places], self.languages[1][places]),
        )


Vectors = Callable[[ComparedField, Candidates], Floats]
"""Reads the embeddings (n, d) of one text of the candidates."""


def read_candidates(con: Connection, run: RunContext, ids: Sequence[str]) -> Candidates:
    """Read all that steps may ask of these examples but their embeddings."""
    ids = sorted(ids)
    first = read_first_sources(con, ids, run.source_ids)
    states, tokens = read_measurements(con, run.measures["token_counts"], ("response_tokens",), ids)
    scored = {name: read_scores(con, key, ids) for name, key in run.scores.items()}
    return Candidates(
        ids=np.array(ids, dtype=object),
        rows=read_example_table(con, ids).to_pylist(),
        sources=np.array([first[i][1] if i in first else "generated" for i in ids], dtype=object),
        states=np.array(states, dtype=object),
        loss_tokens=np.nan_to_num(tokens["response_tokens"], nan=0).astype(np.int64),
        scores={name: values for name, (values, _) in scored.items()},
        score_states={name: np.array(states, dtype=object) for name, (_, states) in scored.items()},
        languages=read_languages(con, run, ids),
    )


def read_languages(
    con: Connection, run: RunContext, ids: Sequence[str]
) -> tuple[Names, Floats] | None:
    """Languages of examples, in the order of their sorted ids; None if the run has none."""
    key = run.measures.get("language")
    if key is None:
        return None
    names = read_texts(con, key, "language", ids)
    _, columns = read_measurements(con, key, ("confidence",), ids)
    return np.array([name or "" for name in names], dtype=object), columns["confidence"]


def read_vectors(con: Connection, run: RunContext, of: ComparedField, rows: Candidates) -> Floats:
    """(n, d) unit vectors of the rows, in their order; NaN where there is none."""
    ids = [str(i) for i in rows.ids]
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
    reasons = [
        f"no_score:{states[place]}" if reason == "no_score" and states is not None else reason
        for place, reason in enumerate(picked.reasons)
    ]
    causes = [None if i < 0 else str(candidates.ids[i]) for i in picked.because_of]
    values = [None if np.isnan(value) else float(value) for value in picked.value]
    return Decisions(list(candidates.ids), reasons, causes, values)


def count_step(stage: str, step: int, label: str, decisions: Decisions) -> StageCount:
    """Balance the books of a step that keeps some rows and drops others."""
    dropped = [reason for reason in decisions.reasons if reason]
    return StageCount(
        stage=stage,
        step=step,
        label=label,
        rows_in=len(decisions.example_ids),
        kept=len(decisions.example_ids) - len(dropped),
        dropped={reason: dropped.count(reason) for reason in sorted(set(dropped))},
    )
