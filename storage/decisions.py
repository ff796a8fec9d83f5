"""The table `outcomes`, what steps said of examples, and with it the view `decisions`.

Most steps keep most examples and have nothing to say of them, and a row for each would be most of a
workspace's file. `outcomes` has the others: those that a step dropped, those that it added, and
those that it kept with a number or a remark. That an example was kept by a step follows from where
it came into the run and where it was dropped: the view (storage/migrations.py) has a row for that
too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from storage.database import Connection, fetch_count
from storage.rows import TEXT, write_table

WAS_TAKEN = """
select count(*) from stage_counts where run_id = $run_id and stage = $stage and step = $step
"""

CLEAR = "delete from outcomes where run_id = $run_id and stage = $stage and step = $step"

WRITE = "insert into outcomes select $run_id, $stage, $step, * from decided"


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one step decided, one entry for each example that it dropped or has a word on.

    Examples of which there is nothing to say may be among them, and need not be.
    """

    example_ids: Sequence[str]
    reasons: Sequence[str]  # "" where the example was kept; else why it was dropped
    because_of: Sequence[str | None]
    values: Sequence[float | None]
    details: Sequence[str | None] | None = None  # of a copy: why the other one stayed
    added: frozenset[str] = frozenset()  # the examples that came into the run by this step

    @classmethod
    def of_added(cls, example_ids: Sequence[str]) -> "Decisions":
        """Decisions of a step that adds examples and drops none."""
        n = len(example_ids)
        return cls(example_ids, [""] * n, [None] * n, [None] * n, added=frozenset(example_ids))


def write_decisions(
    con: Connection, step: Mapping[str, object], decisions: Decisions | None
) -> None:
    """Replace what a step said of examples; its books are written behind it, in one transaction.

    `step` has the run_id, the stage and the number of the step.
    """
    if fetch_count(con, WAS_TAKEN, dict(step)):  # by an execution that was killed after this step
        con.execute(CLEAR, dict(step))
    if decisions is not None:
        write_table(con, "decided", decision_table(decisions), WRITE, step)


def decision_table(decisions: Decisions) -> pa.Table:
    """Those of which something is to be said, as the columns of their table."""
    ids, n = decisions.example_ids, len(decisions.example_ids)
    reasons = pa.array(decisions.reasons, TEXT)
    added = pa.array([each in decisions.added for each in ids] if decisions.added else [False] * n)
    dropped = pc.not_equal(reasons, "")
    table = pa.table(
        {
            "example_id": pa.array(ids, TEXT),
            "outcome": pc.if_else(dropped, "dropped", pc.if_else(added, "added", "kept")),
            "reason": reasons,
            "because_of": pa.array(decisions.because_of, TEXT),
            "value": pa.array(decisions.values, pa.float64()),
            "detail": pa.array(decisions.details or [None] * n, TEXT),
        }
    )
    remarked = [table[name].is_valid() for name in ("because_of", "value", "detail")]
    return table.filter(reduce(pc.or_, remarked, pc.not_equal(table["outcome"], "kept")))
