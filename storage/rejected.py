"""Answers that a run dropped, to prompts of which it kept another answer, and pairs of sources.

A source may have pairs: rows with a chosen and a rejected answer to one prompt. Both are examples,
at the same position of the source. Makers make pairs too: rows of SPIN, and the worse ones of
others, are rejected answers to the prompts of their parents, which are the chosen ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.asked import read_aligned
from storage.database import Connection
from storage.lineage import EDITED, EDITS, HELD
from storage.pool_columns import POOL

REJECTING = "('spin', 'mcts_dpo_worse')"
"""What the lineage says of rows that are rejected for their parents."""

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

VERSIONS = f"""
select example_id, example_id as root from examples
union all
select example_id, root from ({EDITED})
"""
"""SQL: each example, and each that it was edited from or is."""

PAIRS = f"""
select distinct source_id, c.example_id as chosen_id, r.example_id as rejected_id
from (select * from ({HELD}) where rejected) r
join (select * from ({HELD}) where not rejected) c using (source_id, position)
union all
select distinct null, c.example_id, r.example_id
from (select * from lineage where method in {REJECTING}) l
join ({VERSIONS}) c on c.root = l.parent_id
join ({VERSIONS}) r on r.root = l.example_id
"""
"""SQL: each pair of each source, and each that was made, whose source_id is null; also as its
examples were edited since."""

REJECTED_PLACES = f"""
with worse as (
    select example_id from (
        select example_id, rejected from ({HELD}) where source_id = any($source_ids)
        union all
        select v.example_id, l.method in {REJECTING}
        from lineage l join ({VERSIONS}) v on v.root = l.example_id
        where l.method not in {EDITS}
    )
    group by example_id having bool_and(rejected)
)
select p.n, min(chosen.n) as chosen
from {POOL} p join worse using (example_id)
left join ({PAIRS}) pairs on pairs.rejected_id = p.example_id
    and (source_id is null or source_id = any($source_ids))
left join {POOL} chosen on chosen.example_id = pairs.chosen_id
group by p.n
"""

PAIRED = f"""
select distinct kept.example_id, other.example_id
from selection_rows s
join examples kept using (example_id)
join ({PAIRS}) p on p.chosen_id = kept.example_id
join examples other on other.example_id = p.rejected_id and other.prompt_id = kept.prompt_id
where s.selection_id = $selection_id
  and (
    p.source_id is null
    or p.source_id in (select source_id from run_sources where run_id = $run_id)
  )
  and kept.trained_at is null and other.trained_at is null and other.response <> kept.response
order by all
"""

STORED = f"""
select e.messages, e.tools, e.response_at, o.reason,
       asked.example_id in (select rejected_id from ({PAIRS})) as rejected
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
    rejected: bool
    """Whether it is the rejected answer of a pair."""


def read_stored_answers(con: Connection, run_id: str, ids: Sequence[str]) -> list[StoredAnswer]:
    """What is stored of some examples, in the order of the ids."""
    found = read_aligned(con, STORED, ids, {"run_id": run_id})
    return [StoredAnswer(**row) for row in found.to_pylist()]


def read_paired_answers(con: Connection, run_id: str, selection_id: str) -> list[tuple[str, str]]:
    """A kept example, and one that a pair of the run's sources rejects for it: of each such pair.

    Args:
        con: an open workspace.
        run_id: whose sources they are.
        selection_id: of the kept ones; those with one trained turn are looked at.
    """
    rows = con.execute(PAIRED, {"run_id": run_id, "selection_id": selection_id}).fetchall()
    return [(str(kept), str(other)) for kept, other in rows]


def read_rejected_places(
    con: Connection, source_ids: Sequence[str], n: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Of each example of the registered pool whether pairs reject it, and nothing else has it.

    Returns:
        (n,) whether it is so; (n,) a row of the pool that was chosen in its place, -1: none is
        there.
    """
    con.execute(REJECTED_PLACES, {"source_ids": list(source_ids)})
    table = con.to_arrow_table()
    rejected, chosen = np.zeros(n, dtype=np.bool_), np.full(n, -1, dtype=np.int64)
    places = table["n"].to_numpy()
    rejected[places] = True
    chosen[places] = table["chosen"].fill_null(-1).to_numpy()
    return rejected, chosen
