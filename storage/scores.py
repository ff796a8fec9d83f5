"""The `scores` table: one value for each example, scorer, scorer version and settings."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.asked import read_aligned
from storage.database import Connection, transaction

WRITE = "insert or replace into scores select * from scored"

READ = """
select value, coalesce(state, 'not_measured') as state
from asked left join (
    select * from scores
    where scorer = $scorer and version = $version and settings = $settings
) using (example_id)
"""


def write_scores(
    con: Connection,
    key: tuple[str, int, str],
    ids: Sequence[str],
    values: NDArray[np.float64],
    states: Sequence[str],
) -> None:
    """Store scores, replacing those of the same key; NaN becomes null.

    Args:
        con: an open workspace.
        key: scorer, version, settings as JSON.
        ids: (n,) example ids.
        values: (n,) numbers, NaN where there is none.
        states: (n,) "ok" exactly where there is a number.

    Raises:
        ValueError: if lengths differ, a value is infinite, or a state contradicts its value.
    """
    if not len(ids) == len(values) == len(states):
        raise ValueError(f"{key[0]}: {len(ids)} ids, {len(values)} values, {len(states)} states")
    if np.isinf(values).any():
        raise ValueError(f"{key[0]}: a score is infinite; scorers give NaN where there is none")
    had = ~np.isnan(values)
    if (had != (np.asarray(states, dtype=object) == "ok")).any():
        raise ValueError(f"{key[0]}: a state is 'ok' exactly where there is a value")
    scorer, version, settings = key
    scored = pa.table(
        {
            "example_id": pa.array(ids, pa.string()),
            "scorer": pa.array([scorer] * len(ids), pa.string()),
            "version": pa.array([version] * len(ids), pa.int32()),
            "settings": pa.array([settings] * len(ids), pa.string()),
            "value": pa.array(values, pa.float64(), mask=~had),
            "state": pa.array(states, pa.string()),
        }
    )
    with transaction(con):
        con.register("scored", scored)
        con.execute(WRITE)
        con.unregister("scored")


def read_scores(
    con: Connection, key: tuple[str, int, str], ids: Sequence[str]
) -> tuple[NDArray[np.float64], list[str]]:
    """Values and states, (n,) each, in the order of the ids; NaN where there is no score."""
    scorer, version, settings = key
    parameters = {"scorer": scorer, "version": version, "settings": settings}
    table = read_aligned(con, READ, ids, parameters)
    return table["value"].to_numpy().copy(), table["state"].to_pylist()


def read_unscored(con: Connection, key: tuple[str, int, str], ids: Sequence[str]) -> list[str]:
    """Those of the examples that were not scored under the key yet, in their order."""
    _, states = read_scores(con, key, ids)
    return [each for each, state in zip(ids, states, strict=True) if state == "not_measured"]
