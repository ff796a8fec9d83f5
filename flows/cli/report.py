"""`sluice report`: a run's funnel, trainings, trial and what changed, as Markdown."""

from typing import Annotated

import typer

from flows.cli.options import HERE, AsJson, RunOption, WorkspaceOption
from flows.cli.output import print_answer, print_json, print_text, shown_path


def report(
    workspace: WorkspaceOption = HERE,
    run: RunOption = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write it as one HTML file, and print where.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the report of a run as Markdown: funnel, trainings, trial, changes since the last run.

    With --html it is written as a page with pictures and some rows of each kind, into the
    workspace's reports/; a browser shows it without a server.
    """
    from pipeline.reporting.report import funnel_rows, read_run_report
    from storage.database import read_workspace
    from storage.runs import find_run, read_counts
    from storage.selections import read_run_trials
    from storage.trial_items import read_last_halves, read_last_result
    from storage.workspace import Workspace

    place = Workspace(workspace)
    with read_workspace(place) as con:
        run_id = find_run(con, run)
        if not html and as_json:
            told = {"run_id": run_id, "funnel": funnel_rows(read_counts(con, run_id))}
            trainings = {k: each._asdict() for k, each in read_run_trials(con, run_id).items()}
            trial = read_last_result(con, run_id)
            lds = read_last_halves(con, run_id)
            print_json({**told, "trainings": trainings, "trial": trial, "lds": lds})
        elif not html:
            report = read_run_report(con, run_id)
            print_text("\n".join(filter(None, (report.markdown, report.costs))))
    if html:
        from pipeline.viewing.fixed_page import write_fixed_page

        written = {"run_id": run_id, "page": shown_path(write_fixed_page(place, run_id))}
        print_answer(written, f"{written['page']}\n", as_json)
