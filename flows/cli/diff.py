"""`sluice diff`: what changed from one run to another, and why."""

from typing import Annotated

import typer

from flows.cli.options import HERE, AsJson, WorkspaceOption
from flows.cli.output import print_answer


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
    from pipeline.reporting.changes import changes_data, changes_markdown, compare_runs
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
    print_answer(changes_data(changes), changes_markdown(changes), as_json)
