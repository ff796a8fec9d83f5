"""`sluice quarantine`: the rows and documents of a run that could not be read."""

from flows.cli.options import HERE, AsJson, RunOption, WorkspaceOption
from flows.cli.output import print_rows


def quarantine(
    workspace: WorkspaceOption = HERE, run: RunOption = None, as_json: AsJson = False
) -> None:
    """List the rows and documents of a run that could not be read: file, line, reason, detail."""
    from storage.database import read_workspace
    from storage.documents import list_quarantined_documents
    from storage.runs import find_run, read_run_sources, read_run_targets
    from storage.sources import list_quarantine
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        run_id = find_run(con, run)
        # A file may be a source and a target at once: its rows are listed once.
        sources = {*read_run_sources(con, run_id), *read_run_targets(con, run_id)}
        rows = list_quarantine(con, sorted(sources))
        documents = list_quarantined_documents(con, run_id)
    whole = [(path, None, reason, detail) for path, reason, detail in documents]  # not one line
    print_rows(["source", "line", "reason", "detail"], [*rows, *whole], as_json)
