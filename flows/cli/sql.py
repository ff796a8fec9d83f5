"""`sluice sql`: the workspace in SQL, read-only."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import HERE, AsJson, WorkspaceOption
from flows.cli.output import print_rows
from flows.progress import say


def sql(
    query: Annotated[
        str | None, typer.Argument(help="A query; read from stdin if not given.")
    ] = None,
    workspace: WorkspaceOption = HERE,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the answer to FILE.parquet, FILE.csv or FILE.jsonl instead."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the workspace in SQL, read-only. docs/data-model.md has the tables and ten queries.

    A query reads the workspace and nothing else of this machine or of any other.
    """
    from storage.guarded_queries import guarded_workspace, run_query, stream_query
    from storage.query_files import write_answer
    from storage.workspace import Workspace

    statements = [query] if query else typed_queries()
    if out is not None:
        statements = require_one(statements, out)
    for statement in statements:
        with guarded_workspace(Workspace(workspace)) as con:  # while one is typed, a run may write
            if out is not None:
                rows_written = write_answer(stream_query(con, statement), out)
                say(f"sql: {rows_written} rows written to {out}")
                continue
            columns, rows = run_query(con, statement)
        print_rows(columns, rows, as_json)


def require_one(statements: Iterable[str], out: Path) -> list[str]:
    """The only statement there is; a second answer would take the place of the first.

    Raises:
        QueryError: if there are more.
    """
    from storage.database import QueryError

    given = list(statements)
    if len(given) > 1:
        raise QueryError(f"{out} has room for the answer of one query, {len(given)} are given")
    return given


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
