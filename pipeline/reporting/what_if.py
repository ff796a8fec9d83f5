"""What if the selection were made in another way: on what a run stored, and nothing is written.

Weights, bounds, quotas, budgets and the order of steps are arithmetic on stored scores, so they can
be tried on a measured pool of a million rows in seconds. The selection is made by the same walk as
a run's, from the pool that the run's own selection started from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reporting.changes import RunChanges, SettingChange
from pipeline.run_context import RunContext
from pipeline.selection.candidates import (
    Candidates,
    Names,
    read_candidates,
    read_vectors,
)
from pipeline.selection.decisions import count_step, spoken_reasons
from pipeline.selection.eligible import read_eligible, read_first_steps
from pipeline.selection.methods.licenses import LicenseSettings
from pipeline.selection.run_steps import (
    SelectSettings,
    StepTaken,
    choose_rows,
    run_steps,
)
from storage.changes import ChoiceChange, PoolChange, describe_run
from storage.database import Connection
from storage.evidence import read_choice_ids, read_choice_turns
from storage.runs import StageCount
from storage.what_if import read_given, read_why_out


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a selection would be."""

    run_id: str
    """The run whose pool and numbers were used, and whose choice it is compared with."""
    steps: Sequence[StageCount]
    rows: int
    loss_tokens: int
    changes: RunChanges
    """From the run's choice to this one."""


def select_again(
    con: Connection,
    run: RunContext,
    settings: SelectSettings,
    changed: Sequence[SettingChange],
    licenses: LicenseSettings | None = None,
) -> WhatIf:
    """Make the selection of a run again with other settings, and compare the two.

    The run has the keys of all scores that the settings name; `changed` says how they differ.
    """
    before = describe_run(con, run.run_id).recipe
    chosen_then = read_choice_ids(con, run.run_id)
    first = read_first_steps(con, run.run_id)
    if (before["seed"], before["select"]["held_out"]) == (run.seed, settings.held_out):
        # What the first step of the recipe's own was given; the steps before it are as they were.
        rows = read_eligible(con, run)
        notes = ChoiceNotes(rows, chosen_then, first)
        choice = choose_rows(rows, settings, read_vectors, run.seed)
        steps = choice.steps
    else:  # other rows are held out: from the beginning
        rows = read_candidates(con, run, read_given(con, run.run_id, 1))
        notes = ChoiceNotes(rows, chosen_then, [])
        taken = run_steps(rows, settings, read_vectors, run.seed, licenses)
        choice, steps = taken.choice, taken.steps
    for step in steps:
        notes.add(step)
    chosen = choice.chosen
    came = [
        (rank, str(example_id))
        for rank, (example_id, place) in enumerate(zip(chosen.ids, chosen.indices, strict=True), 1)
        if not notes.then[place]  # ranks count from 1, over all that are chosen
    ]
    stayed = len(chosen) - len(came)
    changes = RunChanges(
        before=run.run_id,
        after="what-if",
        settings=changed,
        sources=[],
        pool=PoolChange(0, 0, len(rows)),
        stayed=stayed,
        retrained=count_retrained(con, run.run_id, chosen, notes.then),
        choice=[*read_why_out(con, run.run_id, came), *notes.left],
    )
    tokens = int(chosen.loss_tokens.sum())
    return WhatIf(run.run_id, notes.counts, len(chosen), tokens, changes)


def count_retrained(
    con: Connection, run_id: str, chosen: Candidates, then: NDArray[np.bool_]
) -> int:
    """How many rows that a run chose too have other turns trained now.

    Args:
        con: an open workspace.
        run_id: the run.
        chosen: the rows now.
        then: (rows of the pool,) whether the run chose each.
    """
    before, now = read_choice_turns(con, run_id), chosen.trained_turns()
    both = set(chosen.ids[then[chosen.indices]].tolist())
    return sum(before.get(each) != now.get(each) for each in both & {*before, *now})


def find_ids(ids: Names, wanted: set[str]) -> NDArray[np.bool_]:
    """(n,) which of some ids, in ascending order, are wanted: faster than asking for each."""
    found = np.zeros(len(ids), dtype=np.bool_)
    if len(ids):
        names = np.array(list(wanted), dtype=object)
        # A name behind the last id would point past the end; there it differs from what it meets.
        indices = np.minimum(np.searchsorted(ids, names), len(ids) - 1)
        found[indices[ids[indices] == names]] = True
    return found


class ChoiceNotes:
    """Keeps the books of each step, and what became of the rows that the run had chosen."""

    def __init__(self, rows: Candidates, chosen: set[str], counts: Sequence[StageCount]) -> None:
        self.then = find_ids(rows.pool.ids, chosen)  # (rows of the pool,) whether chosen by the run
        self.counts = list(counts)
        self.left: list[ChoiceChange] = []

    def add(self, step: StepTaken) -> None:
        """Count one step; name the rows of the run's choice that it drops."""
        rows, outcome = step.rows, step.outcome
        reasons = spoken_reasons(rows, outcome, step.scores)
        number, texts = len(self.counts) + 1, reasons.tolist()
        self.counts.append(count_step("select", number, step.label, texts, outcome.notes))
        dropped = np.flatnonzero(self.then[rows.indices] & (outcome.reasons != ""))
        for row in dropped.tolist():
            cause, value = int(outcome.because_of[row]), float(outcome.value[row])
            self.left.append(
                ChoiceChange(
                    change="removed",
                    rank=0,  # it has none by now
                    example_id=str(rows.pool.ids[rows.indices[row]]),
                    stage="select",
                    label=step.label,
                    reason=str(reasons[row]),
                    because_of=None if cause < 0 else str(rows.pool.ids[rows.indices[cause]]),
                    value=None if np.isnan(value) else value,
                )
            )


ANSWERED = ("select", "scores", "train", "tolerated_bad_rows")
"""Blocks of a recipe that change neither the pool nor its numbers."""


def beyond_reach(differences: Sequence[SettingChange]) -> list[SettingChange]:
    """The differences that a what-if cannot answer for."""
    return [each for each in differences if each.setting.split(".")[0] not in ANSWERED]
