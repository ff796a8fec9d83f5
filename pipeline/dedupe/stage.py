"""Deduplicate stage: copies of several kinds go, the best-scored copy stays.

Every removal names the example that is kept in its place and how similar the two are. A removed
example always has a kept one within the threshold: nothing goes because of something that went.
"""

from collections.abc import Sequence

from pipeline.dedupe.step import DedupeStep
from pipeline.run_context import RunContext
from pipeline.selection.candidates import count_step, describe_decisions, read_candidates
from storage.database import open_workspace
from storage.runs import write_step


def deduplicate_examples(
    run: RunContext, steps: Sequence[DedupeStep], pool: Sequence[str]
) -> list[str]:
    """Remove duplicates step by step; store every decision; return the ids that are left."""
    with open_workspace(run.workspace) as con:
        rows = read_candidates(con, run, pool)
        for number, step in enumerate(steps, start=1):
            outcome = step.remove(rows)
            decisions = describe_decisions(rows, outcome)
            count = count_step("dedupe", number, step.label(), decisions.reasons, outcome.notes)
            write_step(con, run.run_id, count, decisions)
            rows = rows.where(outcome.reasons == "")
    return [str(example_id) for example_id in rows.ids]
