"""The `scores` table: one value for each example, scorer, scorer version and settings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.asked import read_aligned
from storage.database import Connection, transaction
from storage.rows import write_table

# The table has no key: to keep one costs more than all else of a score, and grows.
CLEAR = """
delete from scores
where scorer = $scorer and version = $version and settings = $settings
  and example_id in (select example_id from scored)
"""

WRITE = """
insert into scores select example_id, $scorer, $version, $settings, value, state from scored
"""

READ = """
select value, coalesce(state, 'not_measured') as state
from asked left join (
    select * from scores
    where scorer = $scorer and version = $version and settings = $settings
) using (example_id)
"""


class ScoreKey(NamedTuple):
    """The identity of a number."""

    scorer: str
    version: int
    settings: str
    """As JSON."""


def write_scores(
    con: Connection,
    key: ScoreKey,
    ids: Sequence[str],
    values: NDArray[np.float64],
    states: Sequence[str],
) -> None:
    """Store scores, replacing those of the same key; NaN becomes null.

    Args:
        con: an open workspace.
        key: whose they are.
        ids: (n,) distinct example ids.
        values: (n,) numbers, NaN where there is none.
        states: (n,) "ok" exactly where there is a number.

    Raises:
        ValueError: if lengths differ, an id is there twice, a value is infinite, or a state
            contradicts its value.
    """
    if not len(ids) == len(values) == len(states):
        raise ValueError(
            f"{key.scorer}: {len(ids)} ids, {len(values)} values, {len(states)} states"
        )
    if len(set(ids)) < len(ids):  # the table has no key that would refuse it
        raise ValueError(f"{key.scorer}: an example is given twice; it has one score under a key")
    if np.isinf(values).any():
        raise ValueError(f"{key.scorer}: a score is infinite; scorers give NaN where there is none")
    had = ~np.isnan(values)
    if (had != (np.asarray(states, dtype=object) == "ok")).any():
        raise ValueError(f"{key.scorer}: a state is 'ok' exactly where there is a value")
    scored = pa.table(
        {
            "example_id": pa.array(ids, pa.string()),
            "value": pa.array(values, pa.float64(), mask=~had),  # the mask is of nulls
            "state": pa.array(states, pa.string()),
        }
    )
    with transaction(con):
        for statement in (CLEAR, WRITE):
            write_table(con, "scored", scored, statement, key._asdict())


def read_scores(
    con: Connection, key: ScoreKey, ids: Sequence[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """Values and states, (n,) each, in the order of the ids; NaN where there is no score."""
    table = read_aligned(con, READ, ids, key._asdict())
    return table["value"].to_numpy().copy(), table["state"].to_pylist()  # Arrow's is read-only


def read_unscored(con: Connection, key: ScoreKey, ids: Sequence[str]) -> list[str]:
    """Those of the examples that were not scored under the key yet, in their order."""
    _, states = read_scores(con, key, ids)
    return [each for each, state in zip(ids, states, strict=True) if state == "not_measured"]
