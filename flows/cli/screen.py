"""`sluice screen`: how many rows to read before training on a selection, and what they prove."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import (
    HERE,
    AsJson,
    ReviewerOption,
    RunOption,
    WorkspaceOption,
    login_name,
)
from flows.cli.output import as_lines, print_json, print_table, print_text
from flows.progress import say

if TYPE_CHECKING:
    from pipeline.advice.review_queue import Demand, JudgedRows
    from pipeline.advice.screen import Estimate
    from storage.workspace import Workspace

COLUMNS = ["source", "rows", "to read", "read", "bad", "share", "at most", "gate"]


def screen(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe whose last run is meant; or give -w.")
    ] = None,
    workspace: WorkspaceOption = HERE,
    run: RunOption = None,
    at_most: Annotated[
        float, typer.Option(min=0, max=1, help="Share of bad rows to be ruled out.")
    ] = 0.01,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="How sure the estimate must be.")
    ] = 0.95,
    suspects: Annotated[
        int, typer.Option(min=0, help="Suspicious rows to read beside the random ones.")
    ] = 50,
    queue: Annotated[
        Path | None,
        typer.Option(help="Where the queue is written; reports/ of the workspace if not given."),
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(help="A queue with verdicts, to be read back.")
    ] = None,
    reviewer: ReviewerOption = "",
    as_json: AsJson = False,
) -> None:
    """Queue rows for a person to read for harm; with --verdicts, say what the reading proves.

    Of each source of a selection enough are drawn to rule out more bad rows than --at-most. Exits
    with 1 if the verdicts block a source. Only rows drawn at random count in the estimate.
    """
    from pipeline.advice.review_queue import Demand, JudgedRows, read_review
    from pipeline.advice.screen import rows_to_review
    from storage.workspace_lock import lock_workspace

    try:
        rows_to_review(at_most, confidence)  # an impossible demand is told first
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    place, run_id = find_place(recipe, workspace, run)
    with lock_workspace(place, "screen", tell=say):
        if verdicts is not None:
            read = JudgedRows(read_review(verdicts), reviewer or login_name())
            judge(place, run_id, read, confidence, as_json)
        else:
            write_list(place, run_id, Demand(at_most, confidence, suspects), queue, as_json)


def find_place(recipe: Path | None, workspace: Path, run: str | None) -> "tuple[Workspace, str]":
    """The workspace, and the run that is meant.

    Raises:
        QueryError: if there is no such run.
    """
    from flows.recipe.check import load_recipe
    from storage.database import QueryError, read_tables
    from storage.runs import find_run, last_run
    from storage.workspace import Workspace

    name = None
    if recipe is not None:
        loaded = load_recipe(recipe)
        name, workspace = loaded.name, Path(loaded.at(recipe.parent).workspace)
    place = Workspace(workspace)
    with read_tables(place) as con:
        if name is None or run is not None:
            return place, find_run(con, run)
        if found := last_run(con, name):  # of this recipe: others may share the workspace
            return place, found
    raise QueryError(f"{name} has not been run in {workspace} yet: `sluice run {recipe}`")


def write_list(
    place: "Workspace", run_id: str, demand: "Demand", queue: Path | None, as_json: bool
) -> None:
    """Write the queue, and say how much there is to read."""
    from pipeline.advice import review_queue
    from storage.database import open_tables

    with open_tables(place) as con:
        screened = review_queue.find_screened(con, run_id)
        reviews = review_queue.list_rows(con, screened, demand)
        path = queue or place.reports / f"review-{screened.selection_id}.jsonl"
        if reviews:  # an empty queue would overwrite one that a person still fills in
            review_queue.write_queue(path, review_queue.queue_lines(con, screened, reviews))
        estimates = review_queue.estimate_sources(con, screened, demand.confidence)
    kinds = Counter(each.drawn for each in reviews)
    if as_json:
        print_json(
            {
                "run_id": run_id,
                "selection_id": screened.selection_id,
                "queue": str(path) if reviews else None,
                "random": kinds["random"],
                "suspects": kinds["suspect"],
                "sources": estimates,
            }
        )
        return
    print_table(COLUMNS[:4], [estimate_row(each)[:4] for each in estimates])
    print_text(
        f"{kinds['random']} rows drawn at random and {kinds['suspect']} suspicious ones to read: "
        f"{path}\nfill in each verdict with ok or bad, then: sluice screen "
        f"-w {place.directory} --verdicts {path}\n"
        if reviews
        else "every row that has to be read has been read: see --verdicts\n"
    )


def judge(
    place: "Workspace",
    run_id: str,
    found: "JudgedRows",
    confidence: float,
    as_json: bool,
) -> None:
    """Store verdicts, and say what they prove; exit with 1 if a source is blocked."""
    from pipeline.advice import review_queue
    from storage.database import open_tables

    with open_tables(place) as con:
        review_queue.store_verdicts(con, found)
        screened = review_queue.find_screened(con, run_id)
        estimates = review_queue.estimate_sources(con, screened, confidence)
        queued, read, bad = review_queue.count_found(con, screened)
    blocked = [each.source for each in estimates if each.gate == "block"]
    if as_json:
        print_json(
            {
                "run_id": run_id,
                "selection_id": screened.selection_id,
                "confidence": confidence,
                "sources": estimates,
                "suspects": {"queued": queued, "read": read, "bad": bad},
                "blocked": blocked,
            }
        )
    else:
        print_table(COLUMNS, [estimate_row(each) for each in estimates])
        counts = f"{bad} of {read} suspicious rows are bad; they do not count in the shares"
        print_text(as_lines([counts, *next_steps(estimates)]))
    if blocked:
        raise typer.Exit(1)


def next_steps(estimates: "list[Estimate]") -> Iterator[str]:
    """What a person should do about sources that do not pass."""
    for each in estimates:
        if unread := each.to_review - each.reviewed:
            yield f"{each.source}: {unread} rows drawn at random have no verdict yet"
        if each.gate == "block" and each.bad:  # without a bad row it lacks verdicts, told above
            yield f"{each.source}: take the bad rows out of it, and look for more like them"
        elif each.gate == "warn" and not each.bad:
            yield f"{each.source}: no bad row; --at-most 0.002 queues what it takes to pass"


def estimate_row(each: "Estimate") -> tuple[object, ...]:
    """A line of the table."""
    share = "" if each.share is None else f"{each.share:.2%}"
    counts = (each.source, f"{each.rows:,}", each.to_review, each.reviewed, each.bad)
    return (*counts, share, f"{each.upper:.2%}", each.gate)
