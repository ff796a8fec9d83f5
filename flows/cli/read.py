"""Verbs that read: they open the workspace read-only and change nothing."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", envvar="SLUICE_WORKSPACE", help="The workspace directory."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunOption = Annotated[str | None, typer.Option("--run", help="A run id; the last run otherwise.")]
HERE = Path(".")


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (explain, report, diff, quarantine, sql, models):
        app.command()(verb)


def print_json(value: object) -> None:
    """Print a value as JSON to stdout."""
    import orjson

    out = orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()
    sys.stdout.write(f"{out}\n")


def say_to_stderr(line: str) -> None:
    """Say a line of talk, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def print_table(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Print rows as a table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in columns:
        table.add_column(escape(name), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else 118, highlight=False).print(table)


def explain(
    example: Annotated[str, typer.Argument(help="An example id, or how it starts.")],
    workspace: WorkspaceOption = HERE,
    run: RunOption = None,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of an example: from its source line to why it is in or out."""
    from flows.cli.explain import explanation_lines
    from storage.database import read_workspace
    from storage.examples import find_example
    from storage.explain import read_explanation
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        explanation = read_explanation(con, find_example(con, example), run)
    if as_json:
        print_json(explanation)
        return
    sys.stdout.write("\n".join(explanation_lines(explanation)) + "\n")


def report(
    workspace: WorkspaceOption = HERE, run: RunOption = None, as_json: AsJson = False
) -> None:
    """Print the report of a run as Markdown: its funnel, and what changed since the last run."""
    from pipeline.reporting.report import funnel_rows, read_run_report
    from storage.database import read_workspace
    from storage.runs import find_run, read_counts
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        run_id = find_run(con, run)
        if as_json:
            print_json({"run_id": run_id, "funnel": funnel_rows(read_counts(con, run_id))})
            return
        whole = read_run_report(con, run_id)
    sys.stdout.write(whole.markdown)


def diff(
    before: Annotated[
        str | None, typer.Argument(help="The earlier run; the one before AFTER if not given.")
    ] = None,
    after: Annotated[
        str | None, typer.Argument(help="The later run; the last one if not given.")
    ] = None,
    workspace: WorkspaceOption = HERE,
    as_json: AsJson = False,
) -> None:
    """Say what changed from one run to another, and why; --json has every row."""
    from pipeline.reporting.changes import changes_markdown, compare_runs
    from storage.changes import find_previous
    from storage.database import QueryError, read_workspace
    from storage.runs import find_run
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        later = find_run(con, after)
        earlier = find_previous(con, later) if before is None else find_run(con, before)
        if earlier is None:
            raise QueryError(
                f"run {later} is the first of its recipe here; name two runs to compare: "
                "`sluice sql 'select run_id, name, started_at from runs'` lists them"
            )
        changes = compare_runs(con, earlier, later)
    if as_json:
        print_json(asdict(changes))
        return
    sys.stdout.write(changes_markdown(changes))


def quarantine(
    workspace: WorkspaceOption = HERE, run: RunOption = None, as_json: AsJson = False
) -> None:
    """List the rows of a run that could not be read: file, line, reason and detail."""
    from storage.database import read_workspace
    from storage.runs import find_run, read_run_sources, read_run_targets
    from storage.sources import list_quarantine
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        run_id = find_run(con, run)
        sources = {*read_run_sources(con, run_id), *read_run_targets(con, run_id)}
        rows = list_quarantine(con, sorted(sources))
    columns = ["source", "line", "reason", "detail"]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    print_table(columns, list(rows))


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
        if as_json:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        else:
            print_table(list(columns), rows)


def typed_queries() -> Iterator[str]:
    """Queries from stdin, each ended by a semicolon; a prompt is shown on a terminal."""
    typed = ""
    if sys.stdin.isatty():
        sys.stderr.write("SQL, ended by a semicolon; Ctrl-D ends.\n")
    for line in sys.stdin:
        typed += line
        if typed.rstrip().endswith(";"):
            yield typed
            typed = ""
    if typed.strip():
        yield typed


def models(as_json: AsJson = False) -> None:
    """List the embedded models, whether each is installed, and what to do if not."""
    from scorers.measures.models.loading import WHEEL_MODELS, MissingModelError, resolve_model

    found = []
    for name in WHEEL_MODELS:
        try:
            resolved = resolve_model(f"wheel:{name}")
            found.append((f"wheel:{name}", resolved.fingerprint[:16], str(resolved.path)))
        except MissingModelError as error:
            found.append((f"wheel:{name}", "missing", str(error)))
    columns = ["model", "fingerprint", "where"]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in found])
        return
    print_table(columns, list(found))
