"""`sluice sql`: the workspace in SQL, read-only."""

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from flows.cli.options import HERE, AsJson, WorkspaceOption
from flows.cli.output import print_rows


def sql(
    query: Annotated[
        str | None, typer.Argument(help="A query; read from stdin if not given.")
    ] = None,
    workspace: WorkspaceOption = HERE,
    as_json: AsJson = False,
) -> None:
    """Ask the workspace in SQL, read-only. docs/data-model.md has the tables and ten queries."""
    from storage.database import read_workspace
    from storage.explain import run_query
    from storage.workspace import Workspace

    for statement in [query] if query else typed_queries():
        with read_workspace(Workspace(workspace)) as con:  # while one is typed, a run may write
            columns, rows = run_query(con, statement)
        print_rows(columns, rows, as_json)


def typed_queries() -> Iterator[str]:
    """Queries from stdin, each ended by a semicolon; a prompt is shown on a terminal."""
    typed = ""
    if sys.stdin.isatty():
        sys.stderr.write("SQL, ended by a semicolon; Ctrl-D ends.\n")
    for line in sys.stdin:
        typed += line
        if typed.rstrip().endswith(";"):  # at the end of a line only: a text may hold one
            yield typed
            typed = ""
    if typed.strip():
        yield typed
