"""Deduplicate stage: copies of several kinds go, the copy that is preferred stays.

Every removal names the example that is kept in its place and how similar the two are. A removed
example always has a kept one within the threshold: nothing goes because of something that went.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.dedupe.step import DedupeStep
from pipeline.dedupe.which_copy import (
    later_steps,
    rank_copies,
    read_preferences,
    why_others_stay,
)
from pipeline.run_context import RunContext
from pipeline.selection.candidates import (
    Candidates,
    read_candidates,
)
from pipeline.selection.decisions import count_step, describe_decisions
from pipeline.selection.heavy_losses import heavy_losses
from scorers.arrays import Strings
from storage.database import open_workspace
from storage.runs import write_step

Objections = Callable[[Candidates], Strings]
"""(n,) why a later stage will drop each row, "" where it will not."""


def deduplicate_examples(
    run: RunContext,
    steps: Sequence[DedupeStep],
    pool: Sequence[str],
    objections: Objections | None = None,
) -> list[str]:
    """Remove duplicates step by step; store every decision; return the ids that are left."""
    with open_workspace(run.workspace) as con:
        rows = read_candidates(con, run, pool)
        known = objections(rows) if objections and steps else np.full(len(rows), "", dtype=object)
        for number, step in enumerate(steps, start=1):
            preferences = [later_steps(known), *read_preferences(rows, step.keeps())]
            outcome = step.remove(rows, rank_copies(preferences, rows.ids))
            details = why_others_stay(preferences, outcome)
            decisions = describe_decisions(rows, outcome, details=details)
            heavy = heavy_losses(step.label(), rows.sources, outcome.reasons)
            notes = (*outcome.notes, *heavy)
            count = count_step("dedupe", number, step.label(), decisions.reasons, notes)
            write_step(con, run.run_id, count, decisions)
            left = outcome.reasons == ""
            rows, known = rows.where(left), known[left]
    return [str(example_id) for example_id in rows.ids]
