"""The `handovers` table: which exports were handed to the machine that trains, for which training.

A night that changes nothing makes the same export. It is handed over once, or a person would be
asked about it every morning.
"""

from storage.database import Connection

KNOWN = "select count(*) from handovers where handover_key = $key"

ADD = """
insert into handovers values ($key, $export_id, $run_id, now()) on conflict do nothing
"""


def was_handed_over(con: Connection, key: str) -> bool:
    """Whether an export was handed over for this training."""
    ((found,),) = con.execute(KNOWN, {"key": key}).fetchall()
    return bool(found)


def record_handover(con: Connection, key: str, export_id: str, run_id: str) -> None:
    """Record that a run handed an export over; the first that did stays.

    Args:
        con: open for writing.
        key: a hash of the export, the target and the settings of the training.
        export_id: the export's.
        run_id: the run's.
    """
    con.execute(ADD, {"key": key, "export_id": export_id, "run_id": run_id})
