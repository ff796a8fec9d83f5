"""Repairs: responses that a tuned model wrote in place of given ones, as `lineage` has them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storage.asked import asking_about
from storage.database import Connection
from storage.pool_columns import POOL
from storage.rows import fetch_texts

REPAIRED = "repaired"  # the method in `lineage`; the parent is the example that may be replaced

OF_EXAMPLES = """
select parent_id, response
from lineage join examples using (example_id)
join (select example_id as parent_id from asked) using (parent_id)
where generation_key = $key and method = 'repaired'
"""

MADE = """
select distinct example_id from lineage
where generation_key = $key and method = 'repaired'
  and example_id not in (select example_id from occurrences where source_id = any($source_ids))
"""

PLACES = f"""
select parent.n, child.n as repair from lineage l
join {POOL} parent on parent.example_id = l.parent_id
join {POOL} child on child.example_id = l.example_id
where l.generation_key = $key and l.method = 'repaired'
"""


def read_repairs(con: Connection, key: str, ids: Sequence[str]) -> dict[str, str]:
    """Example → the response it was repaired with under a generation key, where it was."""
    with asking_about(con, ids):
        rows = con.execute(OF_EXAMPLES, {"key": key}).fetchall()
    return {str(parent): str(response) for parent, response in rows}


def read_made(con: Connection, key: str, source_ids: Sequence[str]) -> set[str]:
    """Examples that are repairs and stand in none of these sources themselves."""
    return set(fetch_texts(con, MADE, {"key": key, "source_ids": list(source_ids)}))


def read_repair_places(con: Connection, key: str, n: int) -> NDArray[np.int64]:
    """(n,) the row of the registered pool that each was repaired with; -1 where none is there."""
    con.execute(PLACES, {"key": key})
    table = con.to_arrow_table()
    indices = np.full(n, -1, dtype=np.int64)  # a repair that dropped out of the pool leaves none
    indices[table["n"].to_numpy()] = table["repair"].to_numpy()
    return indices
