"""The `personal_data_hits` table: where a run found personal data, and never what."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from storage.database import Connection, transaction
from storage.rows import TEXT, as_table, write_table

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
    columns = {"example_id": TEXT, "kind": TEXT, "place": TEXT, "hits": pa.int32()}
    with transaction(con):
        con.execute(CLEAR_HITS, {"run_id": run_id})
        write_table(con, "hits_found", as_table(columns, found), WRITE_HITS, {"run_id": run_id})
