"""Answers that a run dropped, to prompts of which it kept another answer."""

from collections.abc import Sequence
from typing import NamedTuple

from storage.asked import read_aligned
from storage.database import Connection

DROPPED_ANSWERS = """
select kept.example_id, other.example_id, o.reason
from selection_rows s
join examples kept using (example_id)
join examples other on other.prompt_id = kept.prompt_id
join outcomes o on o.example_id = other.example_id
where s.selection_id = $selection_id
  and o.run_id = $run_id and o.stage = 'select' and o.outcome = 'dropped'
  and o.reason = any($reasons)
  -- A prompt is what stands before the first trained turn: it is all that was said before the
  -- answer where one turn is trained.
  and kept.trained_at is null and other.trained_at is null
  and other.response_at is not null and other.response <> kept.response
order by all
"""

STORED = """
select e.messages, e.tools, e.response_at, o.reason
from asked left join examples e using (example_id)
left join outcomes o on o.example_id = asked.example_id
  and o.run_id = $run_id and o.stage = 'select' and o.outcome = 'dropped'
"""


def read_dropped_answers(
    con: Connection, run_id: str, selection_id: str, reasons: Sequence[str]
) -> list[tuple[str, str, str]]:
    """A kept example, one that was dropped, and why: for each that says something else there.

    Args:
        con: an open workspace.
        run_id: that dropped them, while it selected.
        selection_id: of the kept ones; those with one trained turn are looked at, among such.
        reasons: for which they were dropped.
    """
    parameters = {"run_id": run_id, "selection_id": selection_id, "reasons": list(reasons)}
    rows = con.execute(DROPPED_ANSWERS, parameters).fetchall()
    return [(str(kept), str(other), str(reason)) for kept, other, reason in rows]


class StoredAnswer(NamedTuple):
    """What the workspace has under the id of a rejected answer; null where it has nothing."""

    messages: str | None
    tools: str | None
    response_at: int | None
    reason: str | None
    """Why the run dropped it; None: it did not."""


def read_stored_answers(con: Connection, run_id: str, ids: Sequence[str]) -> list[StoredAnswer]:
    """What is stored of some examples, in the order of the ids."""
    found = read_aligned(con, STORED, ids, {"run_id": run_id})
    return [StoredAnswer(**row) for row in found.to_pylist()]
