"""Stored vectors of many examples, in blocks: no more than one is in memory beside the result."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from storage.asked import asking_about
from storage.database import Connection
from storage.measurements import MeasureKey, relation_of_key
from storage.views import columns_of

BLOCK_ROWS = 1 << 13

VECTORS = """
select n, m.{column} as vector from asked join {measure} m using (example_id)
where m.measure_key = $measure_key and m.{column} is not null
"""

VectorBlock = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Places (m,) among the examples that were asked for, and their vectors (m, d)."""


def read_vector_blocks(
    con: Connection, key: MeasureKey, column: str, ids: Sequence[str]
) -> Iterator[VectorBlock]:
    """The vectors of those examples that have one, in any order.

    Nothing else may be asked of the connection meanwhile.
    """
    if column not in columns_of(con, key.measure):
        return
    query = VECTORS.format(column=column, measure=relation_of_key(con, key))
    with asking_about(con, ids):
        con.execute(query, {"measure_key": key.measure_key})
        for batch in con.to_arrow_reader(BLOCK_ROWS):
            if len(batch):
                flat = np.asarray(batch.column("vector").flatten(), dtype=np.float32)
                yield batch.column("n").to_numpy(), flat.reshape(len(batch), -1)
