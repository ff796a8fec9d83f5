"""`sluice verify`: every export walked back to the lines it came from, and every document read."""

from typing import TYPE_CHECKING

import typer

from flows.cli.options import HERE, AsJson, WorkspaceOption
from flows.cli.output import print_answer
from flows.progress import counted, say

if TYPE_CHECKING:
    from pipeline.export.verify import Link


def verify(workspace: WorkspaceOption = HERE, as_json: AsJson = False) -> None:
    """Walk every export back to the lines it came from; exit with 1 if a link does not hold."""
    from pipeline.export.verify import verify_workspace
    from pipeline.upkeep.verify_documents import verify_documents
    from storage.database import read_tables
    from storage.workspace import Workspace

    place = Workspace(workspace)
    # The tables alone: views of measurements would fail on a lost file before it is reported.
    with read_tables(place) as con, counted("") as work:  # of exports, rows, and files in turn
        links = verify_workspace(con, place, work.at)
        links += verify_documents(con, place, work.at)
    print_answer(links, "".join(map(link_lines, links)), as_json)
    if not links and not as_json:
        say("there is no export, no measurement and no document to verify")
    if any(link.broken for link in links):
        raise typer.Exit(1)


def link_lines(link: "Link") -> str:
    """A line for a link, and one for each thing to be said of it."""
    verdict = f"{link.broken} BROKEN" if link.broken else "holds"
    closed = f", {link.closed} cannot be walked further" if link.closed else ""
    details = "".join(f"    {detail}\n" for detail in link.details)
    return f"{link.of}: {link.link}: {link.walked} walked, {verdict}{closed}\n{details}"
