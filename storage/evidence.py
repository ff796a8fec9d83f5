"""The `selection_evidence` table: what stands for and against each selection."""

from collections.abc import Mapping
from typing import Any

import orjson

from storage.database import Connection
from storage.rows import fetch_texts

WRITE = "insert or replace into selection_evidence values ($run_id, $selection_id, $evidence)"

READ = "select evidence from selection_evidence where run_id = $run_id"

LAST_CHOICE = """
select s.example_id
from run_selections r join selection_rows s using (selection_id)
where r.run_id = $run_id and r.kind = 'choice'
"""

CHOICE_TURNS = """
select s.example_id, s.turns
from run_selections r join selection_rows s using (selection_id)
where r.run_id = $run_id and r.kind = 'choice' and s.turns is not null
"""


def write_evidence(con: Connection, run_id: str, selection_id: str, evidence: object) -> None:
    """Store the evidence of what a run chose; a dataclass or a mapping."""
    told = orjson.dumps(evidence, option=orjson.OPT_SORT_KEYS).decode()
    con.execute(WRITE, {"run_id": run_id, "selection_id": selection_id, "evidence": told})


def read_evidence(con: Connection, run_id: str) -> Mapping[str, Any] | None:
    """The evidence of what a run chose; None where there is none."""
    found = con.execute(READ, {"run_id": run_id}).fetchall()
    return dict(orjson.loads(found[0][0])) if found else None


def read_choice_ids(con: Connection, run_id: str) -> set[str]:
    """Ids of the examples that a run chose."""
    return set(fetch_texts(con, LAST_CHOICE, {"run_id": run_id}))


def read_choice_turns(con: Connection, run_id: str) -> dict[str, list[int]]:
    """Example → its trained turns, of those that a run chose and trains a part of."""
    return dict(con.execute(CHOICE_TURNS, {"run_id": run_id}).fetchall())
