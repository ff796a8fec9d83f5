"""`sluice backfill`: scores for rows that were here before the score was, planned before done."""

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.cli.options import AsJson, RecipeFile
from flows.cli.output import print_json, print_table, print_text
from flows.progress import counted, say, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.scoring.backfill import Backfill, PartitionPlan
    from storage.arrivals import Window

COLUMNS = ["arrived", "rows", "to ask", "time"]


def backfill(
    recipe: RecipeFile,
    scorer: Annotated[
        list[str] | None,
        typer.Option(help="A score of the recipe; give it again for more. All if not given."),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day of arrival, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of arrival, UTC.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="A pattern for paths of sources, as `sluice sql` shows them.")
    ] = None,
    period: Annotated[
        Literal["day", "week", "month"], typer.Option("--by", help="How long a partition is.")
    ] = "day",
    rows: Annotated[
        int, typer.Option("--try", min=0, help="Rows to try of each measure, to predict the time.")
    ] = 24,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is missing, and end.")] = False,
    submit: Annotated[
        bool,
        typer.Option("--submit", help="Have a worker do it: a run of the deployment each."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure and score rows that came in before the score did, a partition at a time.

    First says what is missing and how long it will take. Stop it when you like: the same command
    goes on with what is missing then. A run that wants the workspace comes first.
    """
    from flows.backfill_scores import backfill_scores, prepare
    from flows.recipe.check import load_recipe
    from storage.arrivals import Window

    first, last = (day and day.date() for day in (since, until))
    loaded = load_recipe(recipe)
    window = Window(first, last, source, period)
    whole = prepare(loaded, recipe.parent, scorer or [], window)
    plans = plan_backfill(whole, loaded.name, rows)
    if as_json:
        print_json([as_row(each) for each in plans])
    else:
        print_plan(plans)
    if submit:
        submit_runs(plans, recipe, [each.label for each in whole.scores], window)
    elif not plan:
        from flows.temporary_server import tie_temporary_server

        tie_temporary_server()
        backfill_scores(str(recipe), scorer or [], first, last, source, period)


def plan_backfill(whole: "Backfill", name: str, rows: int) -> "list[PartitionPlan]":
    """Count tokens, find what is missing, and try a few rows."""
    from pipeline.scoring.backfill import count_tokens, plan_partitions, predict
    from storage.workspace_lock import lock_workspace

    what = f"plan of a backfill of {name}"
    with lock_workspace(whole.workspace, what, wait=True, tell=say), counted("rows") as work:
        count_tokens(whole, work.at)
        plans = plan_partitions(whole)
        return predict(whole, plans, rows, work.at) if rows else plans


def print_plan(plans: "Sequence[PartitionPlan]") -> None:
    """The plan as a table, and in a sentence."""
    print_table(COLUMNS, [cells_of(each) for each in plans])
    total = sum(each.seconds or 0.0 for each in plans)
    busy = sum(any(each.missing.values()) for each in plans)
    told = f", {spoken(total)} of measuring on this machine" if plans[0].seconds is not None else ""
    print_text(f"{busy} of {len(plans)} partitions lack measurements{told}\n")
    sys.stdout.flush()  # the work that follows may take hours, and be read through a pipe


def as_row(plan: "PartitionPlan") -> dict[str, Any]:
    """One partition, with names for its columns."""
    return {
        "arrived": str(plan.partition),
        "rows": len(plan.partition.ids),
        "to_ask": {name: rows for name, rows in plan.missing.items() if rows},
        "seconds": plan.seconds,
    }


def cells_of(plan: "PartitionPlan") -> tuple[object, ...]:
    """One line of the table."""
    asked = ", ".join(f"{name} {rows:,}" for name, rows in plan.missing.items() if rows)
    took = None if plan.seconds is None else spoken(plan.seconds)  # None: not predicted
    return (plan.partition, f"{len(plan.partition.ids):,}", asked or "nothing", took)


def submit_runs(
    plans: "Sequence[PartitionPlan]", recipe: Path, scorers: list[str], window: "Window"
) -> None:
    """Hand each partition that lacks something to the server, as a run of its own."""
    from flows.submit_backfill import submit_partition

    for plan in plans:
        days = replace(window, since=plan.partition.first_day, until=plan.partition.last_day)
        if any(plan.missing.values()) or plan.unscored:  # all may be measured, and not scored yet
            name, state = submit_partition(plan.key, recipe, scorers, days)
            print_text(f"{plan.partition}: run {name}, {state}\n")
        else:
            print_text(f"{plan.partition}: nothing is missing\n")
