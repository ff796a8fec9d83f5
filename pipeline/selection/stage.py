"""Select stage: the pool → an ordered selection, its held-out rows and its two controls.

The steps are taken in selection/run_steps.py; here each is stored as it is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.measuring.measures.embeddings import ComparedField
from pipeline.ranking.budget import Budget
from pipeline.run_context import RunContext
from pipeline.selection.candidates import (
    Candidates,
    Vectors,
    read_candidates,
    read_vectors,
)
from pipeline.selection.decisions import count_step, describe_decisions
from pipeline.selection.evidence import gather_evidence
from pipeline.selection.methods.length_matched import select_length_matched
from pipeline.selection.methods.licenses import LicenseSettings
from pipeline.selection.methods.random import select_random
from pipeline.selection.run_steps import (
    CHOSEN_OF_PAIRS,
    NOT_HELD_OUT,
    SelectSettings,
    StepTaken,
    run_steps,
)
from pipeline.selection.sensitivity import measure_sensitivity
from scorers import SCORERS
from scorers.arrays import Ints
from storage.changes import find_previous
from storage.database import Connection, open_workspace
from storage.evidence import read_choice_ids, write_evidence
from storage.runs import write_step
from storage.selections import PickedRows, write_selection


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a run selected."""

    selection_id: str
    rows: int
    loss_tokens: int
    notes: tuple[str, ...] = ()
    """What the step that ranked has to say: of what is not spent too."""


def select_examples(
    run: RunContext,
    settings: SelectSettings,
    pool: Sequence[str],
    licenses: LicenseSettings | None = None,
) -> Chosen:
    """Select from the pool; store every decision, the selection, its controls and its evidence."""
    with open_workspace(run.workspace) as con:
        rows = read_candidates(con, run, pool)
        vectors = LastVectors(read_vectors)
        taken = run_steps(rows, settings, vectors, run.seed, licenses)
        for number, step in enumerate(taken.steps, start=1):
            # What is held out is a share of the prompts, a budget is to be spent, and whoever has
            # pairs knows that a half of them is rejected.
            meant = step.label in (NOT_HELD_OUT, CHOSEN_OF_PAIRS) or number == len(taken.steps)
            store_step(con, run, number, step, () if meant else step.heavy_losses())
        chosen, name = taken.choice.chosen, settings.name
        selection_id = write_selection(con, run.run_id, picked(name, chosen))
        aside = picked(f"{name}-held-out", taken.held_out, "held_out", selection_id)
        write_selection(con, run.run_id, aside)
        controls = draw_controls(taken.eligible, chosen, run.seed)
        for kind, drawn in controls.items():
            control = picked(f"{name}-{kind}", drawn, kind, selection_id)
            write_selection(con, run.run_id, control)
        moved = None
        if settings.sensitivity:
            moved = measure_sensitivity(taken.eligible, chosen, settings, vectors, run.seed)
        ranking = [label for label, key in run.scores.items() if SCORERS[key[0]].unit != "label"]
        last = read_last_choice(con, run.run_id)
        evidence = gather_evidence(taken.eligible, chosen, controls, ranking, moved, last)
        write_evidence(con, run.run_id, selection_id, evidence)
    tokens = int(chosen.loss_tokens.sum())
    return Chosen(selection_id, len(chosen), tokens, taken.choice.notes)


@dataclass(frozen=True, slots=True)
class ReadVectors:
    """Embeddings (n, d) of one text of the rows with these indices (n,) in the pool."""

    of: ComparedField
    indices: Ints
    vectors: NDArray[np.float32]


class LastVectors:
    """Reads embeddings, and keeps the last ones: a sensitivity analysis asks for the same again."""

    def __init__(self, read: Vectors) -> None:
        self._read = read
        self._last: ReadVectors | None = None

    def __call__(self, of: ComparedField, rows: Candidates) -> NDArray[np.float32]:
        """The embeddings (n, d) of one text of the rows."""
        # `is` would not do: each variant of an analysis makes its candidates anew.
        last = self._last
        if last is None or last.of != of or not np.array_equal(last.indices, rows.indices):
            self._last = last = ReadVectors(of, rows.indices, self._read(of, rows))
        return last.vectors


def store_step(
    con: Connection, run: RunContext, number: int, step: StepTaken, notes: Sequence[str] = ()
) -> None:
    """Write down what one step decided, and its books."""
    decisions = describe_decisions(step.rows, step.outcome, step.scores)
    count = count_step(
        "select", number, step.label, decisions.reasons, (*step.outcome.notes, *notes)
    )
    write_step(con, run.run_id, count, decisions)


def picked(
    name: str, rows: Candidates, kind: str = "choice", parent_id: str | None = None
) -> PickedRows:
    """Rows as a selection, in their order."""
    ids, tokens = rows.ids.tolist(), int(rows.loss_tokens.sum())
    return PickedRows(name, ids, tokens, kind, parent_id, rows.trained_turns())


def draw_controls(pool: Candidates, chosen: Candidates, seed: int) -> dict[str, Candidates]:
    """Rows of all that was eligible, drawn at random: as many, of as many tokens, and as long.

    Of choices of long rows as many rows are no fair match: the trainer reads less of them. All
    trained turns of a control's rows are trained: which turns are is a part of the choice.
    """
    random = select_random(pool.ids, Budget(rows=len(chosen)), None, seed)
    tokens = Budget(loss_tokens=int(chosen.loss_tokens.sum()))
    of_tokens = select_random(pool.ids, tokens, pool.loss_tokens, seed)
    # From rows of the whole to places among the eligible, whose rows are in ascending order.
    selected = np.searchsorted(pool.indices, chosen.indices)
    lengths = pool.loss_tokens
    matched = select_length_matched(selected, lengths, pool.ids, seed, chosen.loss_tokens)
    drawn = {"random": random, "random_tokens": of_tokens, "length_matched": matched}
    return {kind: pool.at(outcome.indices) for kind, outcome in drawn.items()}


def read_last_choice(con: Connection, run_id: str) -> tuple[str, set[str]] | None:
    """The run of the same recipe before this one, and the ids it chose."""
    previous = find_previous(con, run_id)
    return (previous, read_choice_ids(con, previous)) if previous else None
