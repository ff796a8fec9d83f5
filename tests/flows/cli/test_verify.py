"""`sluice verify` as a user meets it: a line for each link, and its exit codes."""

import json
from pathlib import Path

from storage.database import open_workspace
from storage.workspace import Workspace
from tests.command_line import ask


def test_verify_has_a_line_for_each_link_and_ends_with_0(workspace: Path) -> None:
    (export,) = (workspace / "exports").iterdir()
    lines = ask(workspace, "verify").stdout.splitlines()
    links = ["loading", "rows", "examples", "origins", "sources"]
    assert lines[0] == f"exports/{export.name}: files: 6 walked, holds"
    assert lines[1:6] == [f"exports/{export.name}: {link}: 16 walked, holds" for link in links]
    assert lines[6:] == ["token_counts: measurements: 1 walked, holds"]


def test_verify_ends_with_1_where_a_link_is_broken_and_names_it(workspace: Path) -> None:
    with open_workspace(Workspace(workspace)) as con:
        con.execute("delete from lineage")
    (workspace.parent / "first.jsonl").unlink()
    printed = ask(workspace, "verify", code=1).stdout
    assert "origins: 16 walked, 1 BROKEN" in printed
    assert "in no source of the run, nor made of its documents: 1 rows" in printed
    assert "sources: 16 walked, holds, 13 cannot be walked further" in printed
    links = json.loads(ask(workspace, "verify", "--json", code=1).stdout)
    (broken,) = [link for link in links if link["broken"]]
    assert (broken["link"], broken["walked"], broken["broken"]) == ("origins", 16, 1)


def test_a_source_that_changed_ends_with_0(workspace: Path) -> None:
    (workspace.parent / "first.jsonl").write_text("{}")
    assert "first.jsonl is changed since" in ask(workspace, "verify").stdout
