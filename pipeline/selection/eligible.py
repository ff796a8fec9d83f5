"""The rows that a run's own steps chose from: what controls, trials and what-ifs start with."""

from pipeline.run_context import RunContext
from pipeline.selection.candidates import Candidates, read_candidates
from pipeline.selection.run_steps import NOT_HELD_OUT
from storage.database import Connection
from storage.runs import StageCount, read_counts
from storage.what_if import read_given


def read_first_steps(con: Connection, run_id: str) -> list[StageCount]:
    """The books of what a selection does before the recipe's own steps, as the run kept them."""
    counts = [each for each in read_counts(con, run_id) if each.stage == "select"]
    last = next(each.step for each in counts if each.label == NOT_HELD_OUT)  # steps count from 1
    return sorted(counts, key=lambda each: each.step)[:last]


def read_eligible(con: Connection, run: RunContext) -> Candidates:
    """What the first of the recipe's own steps was given, in the order of the ids."""
    first = read_first_steps(con, run.run_id)
    return read_candidates(con, run, read_given(con, run.run_id, len(first) + 1))
