"""The `personal_data_hits` table: where a run found personal data, and never what."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from storage.database import Connection, transaction

CLEAR_HITS = "delete from personal_data_hits where run_id = $run_id"

WRITE_HITS = "insert into personal_data_hits select $run_id, * from hits_found"


class PersonalDataHits(NamedTuple):
    """One kind of personal data in one place of an example."""

    example_id: str
    kind: str
    place: str
    times: int


def write_hits(con: Connection, run_id: str, found: Sequence[PersonalDataHits]) -> None:
    """Store what a run found, in place of what it found before."""
    columns = list(zip(*found, strict=True)) if found else [(), (), (), ()]
    ids, kinds, indices, hits = columns
    table = pa.table(
        {
            "example_id": pa.array(ids, pa.string()),
            "kind": pa.array(kinds, pa.string()),
            "place": pa.array(indices, pa.string()),
            "hits": pa.array(hits, pa.int32()),
        }
    )
    with transaction(con):
        con.execute(CLEAR_HITS, {"run_id": run_id})
        con.register("hits_found", table)
        con.execute(WRITE_HITS, {"run_id": run_id})
        con.unregister("hits_found")
