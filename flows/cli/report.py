"""`sluice report`: a run's funnel and what changed, as Markdown."""

from flows.cli.options import HERE, AsJson, RunOption, WorkspaceOption
from flows.cli.output import print_json, print_text


def report(
    workspace: WorkspaceOption = HERE, run: RunOption = None, as_json: AsJson = False
) -> None:
    """Print the report of a run as Markdown: its funnel, and what changed since the last run."""
    from pipeline.reporting.report import funnel_rows, read_run_report
    from storage.database import read_workspace
    from storage.runs import find_run, read_counts
    from storage.trial_items import read_last_result
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        run_id = find_run(con, run)
        if as_json:
            told = {"run_id": run_id, "funnel": funnel_rows(read_counts(con, run_id))}
            print_json({**told, "trial": read_last_result(con, run_id)})
        else:
            print_text(read_run_report(con, run_id).markdown)
