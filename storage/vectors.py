"""Stored vectors of many examples, of which no more than a block is in memory."""

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

NEAREST = """
select example_id, list_inner_product({column}, (
    select {column} from {measure} where measure_key = $measure_key and example_id = $example_id
)) as cosine
from {measure}
where measure_key = $measure_key and {column} is not null and example_id <> $example_id
    and cosine is not null
order by cosine desc, example_id limit $most
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


def find_nearest(
    con: Connection, key: MeasureKey, column: str, example_id: str, most: int
) -> list[tuple[str, float]]:
    """The examples whose unit vectors are nearest to one's, with their cosines, nearest first.

    None where that one has no vector. Ties go by id.
    """
    if column not in columns_of(con, key.measure):
        return []
    query = NEAREST.format(column=column, measure=relation_of_key(con, key))
    asked = {"measure_key": key.measure_key, "example_id": example_id, "most": most}
    return [(str(row[0]), float(row[1])) for row in con.execute(query, asked).fetchall()]
