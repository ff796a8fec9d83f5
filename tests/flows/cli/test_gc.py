"""`sluice gc` as a user meets it: what it says, and what it then removes."""

import json
from pathlib import Path

from tests.command_line import ask


def test_gc_says_on_a_dry_run_what_it_then_removes(workspace: Path) -> None:
    orphan = workspace / "measurements" / "m" / "a.parquet"
    orphan.parent.mkdir()
    orphan.write_text("12345")
    dry = ask(workspace, "gc", "--dry-run")
    assert "unnamed measurements" in dry.stdout and "could go: 1 files, 5 bytes" in dry.stderr
    assert orphan.exists()
    removed = json.loads(ask(workspace, "gc", "--json").stdout)
    assert [(each["kind"], each["bytes"]) for each in removed] == [("unnamed measurements", 5)]
    assert "no table names them" in removed[0]["why"]
    assert not orphan.exists()
    assert "removed: 0 files" in ask(workspace, "gc").stderr


def test_gc_lists_unused_measurements_by_what_they_are(workspace: Path) -> None:
    day = ("--unused-since", "2100-01-01")
    (found,) = json.loads(ask(workspace, "gc", "--dry-run", "--json", *day).stdout)
    (unused,) = found["unused"]
    assert (unused["measure"], unused["rows"]) == ("token_counts", 16)
    assert "max_tokens" in unused["settings"] and found["bytes"] > 0
    ask(workspace, "gc", *day)
    assert ask(workspace, "verify").stdout.count("holds") == 6, "an export needs no measurement"
    assert "token_counts" not in ask(workspace, "verify").stdout
