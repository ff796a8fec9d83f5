"""The flow that puts the last run of a workspace on a page again, without running anything."""

from pathlib import Path

from prefect import flow

from flows.artifacts import show_changes, show_export, show_funnel, show_histograms, show_trial
from flows.progress import say
from flows.run_names import name_report
from pipeline.reporting.report import funnel_rows, read_run_report
from storage.database import read_workspace
from storage.exports_manifest import read_manifest
from storage.runs import find_run
from storage.selections import read_run_exports
from storage.workspace import Workspace


@flow(name="report", flow_run_name=name_report, persist_result=False)
def report_workspace(workspace: str, run_id: str | None = None) -> None:
    """Show the funnel, the changes, the score histograms and the exports of a run.

    Args:
        workspace: its directory on the worker.
        run_id: the run; the last one if not given.
    """
    place = Workspace(Path(workspace))
    with read_workspace(place) as con:
        run = find_run(con, run_id)
        report = read_run_report(con, run)
        exports = read_run_exports(con, run)
    name, rows = report.name, funnel_rows(report.counts)
    say(f"report: run {run} of {name}, {len(rows)} steps, {len(exports)} exports")
    show_funnel(name, run, rows)
    if report.trial is not None:
        show_trial(name, run, report.trial, report.cards["trial"])
    if report.changes is not None:
        show_changes(name, run, report.changes, report.cards["changes"])
    picture = place.histograms_of(run)
    if picture.is_file():
        show_histograms(name, run, picture.read_bytes())
    else:
        say(f"report: run {run} has no picture of its scores")
    for path in exports:
        export = place.directory / path
        show_export(name, export, read_manifest(export))
