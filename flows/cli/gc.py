"""`sluice gc`: what a workspace holds and nobody needs is removed."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import HERE, AsJson, WorkspaceOption
from flows.cli.output import print_json, print_table
from flows.progress import say

if TYPE_CHECKING:
    from pipeline.upkeep.leftovers import Leftover


def gc(
    workspace: WorkspaceOption = HERE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what could go, and remove nothing.")
    ] = False,
    unused_since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Also measurements that no run used that was started on this day or later.",
        ),
    ] = None,
    lost: Annotated[
        bool, typer.Option("--lost", help="Also forget measurements whose files are gone.")
    ] = False,
    requests: Annotated[
        bool, typer.Option("--requests", help="Also the replies of endpoints that were kept.")
    ] = False,
    backups: Annotated[
        bool, typer.Option("--backups", help="Also copies of the database before migrations.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what a workspace holds and nobody needs; no run may be going on in it."""
    from pipeline.upkeep.leftovers import RemovalOptions, find_leftovers, remove_leftovers
    from storage.database import read_tables
    from storage.workspace import Workspace
    from storage.workspace_lock import lock_workspace

    place = Workspace(workspace)
    wanted = RemovalOptions(unused_since and unused_since.date(), lost, requests, backups)
    with read_tables(place) as con:  # also says where there is no workspace
        found = find_leftovers(con, place, wanted)
    if not dry_run:
        with lock_workspace(place, "gc", tell=say):  # looks again: a run may have come between
            found = remove_leftovers(place, wanted)
    if as_json:
        print_json([{**asdict(each), "why": each.why} for each in found])  # why is no field
    elif found:
        print_leftovers(found)
    done = "could go" if dry_run else "removed"
    say(f"{done}: {sum(each.files for each in found)} files, {sum(e.bytes for e in found)} bytes")


def print_leftovers(found: "list[Leftover]") -> None:
    """Print what can go by kind, and unused measurements one by one."""
    rows = [(each.kind, each.files, each.bytes, each.why) for each in found]
    print_table(["kind", "files", "bytes", "why it can go"], rows)
    if unused := [(u.measure, u.model, u.settings, u.rows) for each in found for u in each.unused]:
        print_table(["unused measure", "model", "settings", "rows"], unused)
