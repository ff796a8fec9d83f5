"""Verbs that look after what is there: `verify`, `gc` and `doctor`."""

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.read import (
    HERE,
    AsJson,
    WorkspaceOption,
    print_json,
    print_table,
    say_to_stderr,
)

if TYPE_CHECKING:
    from pipeline.export.verify import Link
    from pipeline.upkeep.leftovers import Leftover


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (verify, gc, doctor):
        app.command()(verb)


def verify(workspace: WorkspaceOption = HERE, as_json: AsJson = False) -> None:
    """Walk every export back to the lines it came from; exit with 1 if a link does not hold."""
    from pipeline.export.verify import verify_workspace
    from storage.database import read_tables
    from storage.workspace import Workspace

    place = Workspace(workspace)
    with read_tables(place) as con:
        links = verify_workspace(con, place, say_to_stderr)
    if as_json:
        print_json([asdict(link) for link in links])
    else:
        sys.stdout.write("".join(link_lines(link) for link in links))
        if not links:
            say_to_stderr("there is no export and no measurement to verify")
    if any(link.broken for link in links):
        raise typer.Exit(1)


def link_lines(link: "Link") -> str:
    """A line for a link, and one for each thing to be said of it."""
    verdict = f"{link.broken} BROKEN" if link.broken else "holds"
    closed = f", {link.closed} cannot be walked further" if link.closed else ""
    details = "".join(f"    {detail}\n" for detail in link.details)
    return f"{link.of}: {link.link}: {link.walked} walked, {verdict}{closed}\n{details}"


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
        with lock_workspace(place, "gc", tell=say_to_stderr):
            found = remove_leftovers(place, wanted)
    if as_json:
        print_json([leftover_facts(leftover) for leftover in found])
    elif found:
        print_leftovers(found)
    done = "could go" if dry_run else "removed"
    say_to_stderr(
        f"{done}: {sum(each.files for each in found)} files, {sum(e.bytes for e in found)} bytes"
    )


def leftover_facts(leftover: "Leftover") -> dict[str, object]:
    """A kind of leftover for JSON."""
    return {**asdict(leftover), "why": leftover.why}


def print_leftovers(found: "list[Leftover]") -> None:
    """Print what can go by kind, and unused measurements one by one."""
    rows = [(each.kind, each.files, each.bytes, each.why) for each in found]
    print_table(["kind", "files", "bytes", "why it can go"], list(rows))
    unused = [(u.measure, u.model, u.settings, u.rows) for each in found for u in each.unused]
    if unused:
        print_table(["unused measure", "model", "settings", "rows"], list(unused))


def doctor(
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace", "-w", envvar="SLUICE_WORKSPACE", help="Also look at this workspace."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check installation, models, disk and server; exit with 1 if there is a problem."""
    from flows.cli.server_checks import examine_server
    from pipeline.upkeep.installation_checks import examine_installation
    from pipeline.upkeep.workspace_checks import examine_workspace

    findings = [*examine_installation(), *examine_server()]
    findings += examine_workspace(workspace) if workspace else []
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for each in findings:
            remedy = f"\n         {each.remedy}" if each.remedy else ""
            sys.stdout.write(f"{each.level:8} {each.what}: {each.detail}{remedy}\n")
    if any(each.level == "problem" for each in findings):
        raise typer.Exit(1)
