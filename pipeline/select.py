"""Select stage: the pool → an ordered selection, its held-out rows and its two controls.

The steps are taken in selection/walk.py; here each is stored as it is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.candidates import Candidates, count_step, decide, read_candidates, read_vectors
from pipeline.run_context import RunContext
from pipeline.selection.budget import Budget
from pipeline.selection.length_matched import select_length_matched
from pipeline.selection.picked import Picked
from pipeline.selection.random import select_random
from pipeline.selection.step import missing_states
from pipeline.selection.walk import SelectSettings, unspent, walk
from storage.database import Connection, open_workspace
from storage.runs import write_step
from storage.selections import write_selection


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a run selected."""

    selection_id: str
    rows: int
    loss_tokens: int
    unspent: str
    """What of the budget was not spent, and why; "" where it was."""


def select_examples(run: RunContext, settings: SelectSettings, pool: Sequence[str]) -> Chosen:
    """Select from the pool; store every decision, the selection, and its controls.

    Args:
        run: the run that selects.
        settings: the recipe's steps.
        pool: example ids that deduplication left.
    """
    with open_workspace(run.workspace) as con:
        rows = read_candidates(con, run, pool)
        books = Books(con, run)
        taken = walk(rows, settings, partial(read_vectors, con, run), run.seed, books.record)
        chosen, name = taken.chosen, settings.name
        selection_id = write(con, run, ("choice", name, None), chosen)
        write(con, run, ("held_out", f"{name}-held-out", selection_id), taken.held_out)
        write_controls(con, run, (name, selection_id), taken.eligible, chosen)
    left = unspent(settings.rank.budget, taken.ranked, chosen)
    return Chosen(selection_id, len(chosen), int(chosen.loss_tokens.sum()), left)


class Books:
    """Writes down what each step decided, in order."""

    def __init__(self, con: Connection, run: RunContext) -> None:
        self.con, self.run, self.step = con, run, 0

    def record(self, label: str, rows: Candidates, picked: Picked, scores: tuple[str, ...]) -> None:
        """Store the decisions of one step, which decided by these scores."""
        self.step += 1
        decisions = decide(rows, picked, missing_states(rows, scores))
        count = count_step("select", self.step, label, decisions)
        write_step(self.con, self.run.run_id, count, decisions)


def write(
    con: Connection, run: RunContext, named: tuple[str, str, str | None], rows: Candidates
) -> str:
    """Store rows as a selection, in their order; `named` is its kind, name and parent."""
    kind, name, parent = named
    ids = rows.ids.tolist()
    tokens = int(rows.loss_tokens.sum())
    return write_selection(con, run.run_id, kind, parent, (name, ids, [1.0] * len(ids), tokens))


def write_controls(
    con: Connection, run: RunContext, parent: tuple[str, str], pool: Candidates, chosen: Candidates
) -> None:
    """Draw as many rows at random, and as many of the same lengths, from all that was eligible."""
    name, selection_id = parent
    random = select_random(pool.ids, Budget(rows=len(chosen.ids)), None, run.seed)
    selected = np.searchsorted(pool.places, chosen.places)  # a pool's rows are in its order
    matched = select_length_matched(selected, pool.loss_tokens, pool.ids, run.seed)
    for kind, picked in (("random", random), ("length_matched", matched)):
        write(con, run, (kind, f"{name}-{kind}", selection_id), pool.at(picked.indices))
