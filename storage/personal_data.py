"""The `personal_data_hits` table, and examples that were redacted."""

from collections.abc import Sequence

import pyarrow as pa

from storage.conversations import Conversation
from storage.database import Connection, transaction
from storage.sources import write_examples

CLEAR_HITS = "delete from personal_data_hits where run_id = $run_id"

WRITE_HITS = "insert into personal_data_hits select $run_id, * from hits_found"

WRITE_LINEAGE = "insert into lineage select * from redacted on conflict do nothing"

Hits = tuple[str, str, str, int]
"""Example id, kind, place, and how often."""


def write_hits(con: Connection, run_id: str, found: Sequence[Hits]) -> None:
    """Store what a run found, in place of what it found before."""
    columns = list(zip(*found, strict=True)) if found else [(), (), (), ()]
    ids, kinds, places, hits = columns
    table = pa.table(
        {
            "example_id": pa.array(ids, pa.string()),
            "kind": pa.array(kinds, pa.string()),
            "place": pa.array(places, pa.string()),
            "hits": pa.array(hits, pa.int32()),
        }
    )
    with transaction(con):
        con.execute(CLEAR_HITS, {"run_id": run_id})
        con.register("hits_found", table)
        con.execute(WRITE_HITS, {"run_id": run_id})
        con.unregister("hits_found")


def write_redacted(
    con: Connection,
    redacted: Sequence[tuple[str, Conversation]],
    made_by: tuple[str, str, str],
) -> list[str]:
    """Store redacted examples with their lineage; return their ids in the same order.

    Args:
        con: an open workspace.
        redacted: the parent of each, and the conversation without its personal data.
        made_by: key of the settings, the settings as JSON, and run id.
    """
    key, settings, run_id = made_by
    with transaction(con):
        ids = write_examples(con, [conversation for _, conversation in redacted], "redacted")
        made = pa.table(
            {
                "example_id": pa.array(ids, pa.string()),
                "parent_id": pa.array([parent for parent, _ in redacted], pa.string()),
                "method": pa.array(["redacted"] * len(ids), pa.string()),
                "generation_key": pa.array([key] * len(ids), pa.string()),
                "model": pa.array([""] * len(ids), pa.string()),
                "settings": pa.array([settings] * len(ids), pa.string()),
                "run_id": pa.array([run_id] * len(ids), pa.string()),
            }
        )
        con.register("redacted", made)
        con.execute(WRITE_LINEAGE)
        con.unregister("redacted")
    return ids
