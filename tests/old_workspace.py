"""A workspace as version 0.1 left it, with a row in every table."""

from typing import Any

import duckdb

from storage.migrations import MIGRATIONS
from storage.workspace import Workspace

FIRST_OF_0_2 = next(n for n, text in enumerate(MIGRATIONS) if "previous_run_id" in text)
"""Version 0.1 had the statements before this one."""

REPORT = (
    '{"report_version": 1, "steps": 2, "train": {"rows": 1, "prompt_tokens": 2, "loss_tokens": 3}, '
    '"losses": [2.0, 1.0], "heldout_before": null, "heldout_after": null, "heldout_note": "none"}'
)

ROWS = {
    "sources": "('s1', 'rows.jsonl', null, null, 'CC0-1.0', 'abc', 10, 2, true)",
    "examples": "('e1', 'p1', '[]', '[]', 0, 'ask', 'say', 'source')",
    "occurrences": "('s1', 1, 'e1', 'prompt_completion')",
    "quarantine": "('s1', 2, 'invalid_json', 'cut', 'x'::blob)",
    "lineage": "('e1', 'e0', 'answer', 'k', 'm', '{}', 'r1')",
    "generation_attempts": "('e0', 'k', 0, 'ok', '', 'e1')",
    "measures": "('k1', 'losses', 'f', 't', '{}', 'm')",
    "scores": "('e1', 'ifd', 1, '{}', 0.5, 'ok')",
    "runs": "('r1', 'old', '{}', 0, 'v', '{}', now(), now(), 1)",
    "run_sources": "('r1', 's1')",
    "stage_counts": "('r1', 'ingest', 1, 'read', 2, 0, 1, '{}', '{\"invalid_json\": 1}', '[]')",
    "decisions": "('r1', 'ingest', 1, 'e1', 'kept', '', null, null)",
    "selections": "('c1', 'choice', 1, 3)",
    "run_selections": "('r1', 'c1', 'choice', null)",
    "selection_rows": "('c1', 1, 'e1', 1.0)",
    "exports": "('x1', 'c1', 'exports/x', 1, 3)",
    "trials": f"('t1', 'x1', 'models/a', '{REPORT}')",
}


def write_old_workspace(workspace: Workspace) -> dict[str, list[tuple[Any, ...]]]:
    """A workspace as version 0.1 left it, with a row in every table; its content."""
    workspace.directory.mkdir()
    with duckdb.connect(str(workspace.database)) as con:
        con.execute("create table migrations (n integer primary key)")
        for n, statement in enumerate(MIGRATIONS[:FIRST_OF_0_2]):
            con.execute(statement)
            con.execute("insert into migrations values (?)", [n])
        for table, values in ROWS.items():
            con.execute(f"insert into {table} values {values}")
        return {name: con.execute(f"select * from {name}").fetchall() for name in ROWS}
