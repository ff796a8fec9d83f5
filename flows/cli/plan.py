"""`sluice plan`: what a recipe will ask of models and how long it will take, before it does."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import AsJson, RecipeFile
from flows.cli.output import as_lines, print_json, print_table, print_text
from flows.progress import counted, say, spoken

if TYPE_CHECKING:
    from flows.begin_run import RunState
    from flows.recipe.schema import Recipe
    from pipeline.advice.learning_curve import NestedSlices
    from pipeline.documents.predict import PlannedDocuments
    from pipeline.generation.predict import PlannedCalls
    from pipeline.measuring.cost import MeasurePlan

MAKER_COLUMNS = [
    *("maker", "model", "sources", "calls to", "fewest", "most", "tokens of prompts"),
    *("new tokens at most", "price at most", "time at most"),
]

COLUMNS = ["measure", "model", "rows", "to ask", "tokens", "tried", "time", "memory"]


def plan(
    recipe: RecipeFile,
    rows: Annotated[
        int, typer.Option(min=3, help="Rows to try of each measure; more predict better.")
    ] = 48,
    rows_affordable: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rows that all of the money buys, for advice; the budget's if not given."
        ),
    ] = None,
    preference_price_ratio: Annotated[
        float | None, typer.Option(min=0.001, help="Price of a preference pair, in rows.")
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROWS=SCORE",
            help="Held-out score after training on so many rows, higher is better; give 3 or more "
            "to be told what twice the rows would add.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a recipe will ask of models, and how long it will take; try a few rows for that.

    Sources are read and tokens counted, which the run will find done. Nothing else is stored.
    """
    from flows.cli.planned_training import plan_train, training_plan_lines
    from flows.recipe.check import load_recipe
    from pipeline.advice.budget_advice import advise
    from pipeline.advice.learning_curve import nested_slices
    from pipeline.documents.predict import document_plan_line
    from storage.workspace import Workspace
    from storage.workspace_lock import lock_workspace

    gain = read_gain(score) if score else None
    loaded = load_recipe(recipe)
    say(f"{recipe} is sound; reading its sources")
    workspace = Workspace(Path(loaded.at(recipe.parent).workspace))
    with lock_workspace(workspace, f"plan of {loaded.name}", tell=say):
        plans, pool, calls, documents = plan_recipe(loaded, recipe.parent, rows)
        training = plan_train(loaded, recipe.parent, pool)
    slices = nested_slices(pool, seed=loaded.seed)
    total = sum(each.seconds or 0.0 for each in plans)
    left_out = not_planned(loaded)
    advice = advise(rows_affordable or budget_rows(loaded), preference_price_ratio)
    if as_json:
        print_json(
            {
                "measures": plans,
                "calls_of_makers": calls,
                "documents": documents,
                "not_in_this": left_out,
                "seconds": total,
                "training": training,
                "advice": advice,
                "slices": slices,
                "gain_of_doubling": gain,
            }
        )
        return
    print_table(COLUMNS, [plan_row(each) for each in plans])
    if calls:
        print_table(MAKER_COLUMNS, [call_row(each) for each in calls])
    lines = [
        *([document_plan_line(documents)] if documents else []),
        f"in all {spoken(total)} of measuring on this machine",
        *maker_lines(calls),
        *(training_plan_lines(training) if training else []),
        *(f"not in this: {each}" for each in left_out),
        "\nWhat papers found about budgets; advice, and nothing that is enforced:",
        *(f"- {each}" for each in advice),
        *curve_lines(slices, gain),
    ]
    print_text(as_lines(lines))


def read_gain(scores: Sequence[str]) -> float:
    """What twice the rows would add, by scores as `ROWS=SCORE`.

    Raises:
        typer.BadParameter: if one is written otherwise, or there are too few.
    """
    import numpy as np

    from pipeline.advice.learning_curve import gain_of_doubling

    pairs = [each.partition("=") for each in scores]
    try:
        rows = np.array([int(rows) for rows, _, _ in pairs])
        return gain_of_doubling(rows, np.array([float(value) for _, _, value in pairs]))
    except ValueError as error:
        raise typer.BadParameter(f"--score takes ROWS=SCORE, such as 200=61.5: {error}") from None


def curve_lines(slices: "NestedSlices", gain: float | None) -> Iterator[str]:
    """How to find out whether more rows pay, or whether they do."""
    if gain is not None:
        yield (
            f"\ntwice the rows would add {gain:.3g} to the score, by a power law through those "
            "given; buy no more once that is less than the noise of the evaluation"
        )
    elif slices.sizes:
        sizes = ", ".join(f"{size:,}" for size in slices.sizes)
        yield (
            f"\nto see whether more rows pay: keep {len(slices.test)} aside to test on, train on "
            f"{sizes} of the others, each set within the next (--json names them), and give what "
            "came of it with --score"
        )


def not_planned(recipe: "Recipe") -> list[str]:
    """What a run does beside the measuring that is priced, in its order."""
    found = []
    if recipe.generate:
        found.append("measuring what makers make, and the time of a server that was not asked yet")
    for block in recipe.generate:
        if block.reads:
            made = " and ".join(block.reads)
            found.append(f"how many rows {made} will make for {block.method}, but for a bound")
    if recipe.personal_data:
        found.append("looking for personal data; what is redacted is measured in its new text")
    if recipe.indicator:
        found.append("measuring what gets a mark a second time, with the mark")
    if recipe.check:
        embedded = ", and embedding those" if recipe.check.semantic else ""
        found.append(f"comparing with the evaluation sets{embedded}")
    return found


def budget_rows(recipe: "Recipe") -> int | None:
    """Rows that the recipe's budget is; None where it is a fraction, or loss tokens."""
    from pipeline.selection.step import RankStep

    last = recipe.select.steps[-1]
    return last.budget.rows if isinstance(last, RankStep) else None


def read_documents(state: "RunState") -> None:
    """Read the documents that makers work on: how many calls they take depends on the passages."""
    from pipeline.documents.stage import ingest_documents
    from scorers.measures.models.loading import resolve_model

    if any(each.needs == "passages" for each in state.recipe.generate):
        with counted("files") as work:
            target = resolve_model(state.placed.target)
            ingest_documents(state.run.workspace, None, state.documents, target, work.at)


def plan_recipe(
    recipe: "Recipe", base: Path, rows: int
) -> "tuple[list[MeasurePlan], list[str], list[PlannedCalls], PlannedDocuments | None]":
    """Ingest, count tokens, and plan every other measure, on so many rows of each.

    Returns:
        What each measure will cost; ids of the examples; calls of makers; files of text, if the
        recipe names any.
    """
    from flows.begin_run import identify, read_in, with_targets
    from flows.recipe.adapters import place_adapters
    from pipeline.documents.predict import plan_documents
    from pipeline.generation.make import repair_key
    from pipeline.generation.predict import plan_maker
    from pipeline.measuring.cost import plan_all
    from pipeline.measuring.measure import Repairs
    from pipeline.measuring.shards import measure_here
    from pipeline.measuring.stage import plan_measures
    from storage.database import open_workspace
    from storage.examples import read_pool

    state, sources = identify(recipe, base)
    read_in(state, sources)
    read_documents(state)
    with open_workspace(state.run.workspace) as con:  # of documents alone there may be none yet
        pool = read_pool(con, state.run.source_ids)
    run = with_targets(state.run)
    generators = place_adapters(run.workspace, state.placed.generate, recipe.name)
    calls = [call for each in generators for call in plan_maker(run, each)]
    key = repair_key(generators, run.seed)
    repairs = Repairs(key, run.source_ids) if key else None
    blocks = state.placed.measure
    jobs = plan_measures(run.workspace, blocks, pool, run.seed, run.target_ids, repairs)
    counts = jobs.pop("token_counts")  # counted in full and stored: the others are priced by them
    with counted("rows") as work:
        measure_here(run.workspace, counts.measure, counts.ids, report=work.at)
        plans = plan_all(run.workspace, jobs, counts.measure.key(), rows, work.at)
    found = state.documents
    documents = plan_documents(run.workspace, found) if state.recipe.documents else None
    return list(plans.values()), pool, calls, documents


def call_row(plan: "PlannedCalls") -> tuple[object, ...]:
    """One line of the table of makers."""
    prompts = "not made yet" if plan.prompt_tokens is None else f"{plan.prompt_tokens:,}"
    counts = (f"{plan.fewest:,}", f"{plan.most:,}", prompts, f"{plan.tokens:,}")
    price = "not stated" if plan.price is None else f"{plan.price:.4g}"
    price = "not known yet" if plan.prompt_tokens is None else price
    sources = f"{plan.sources:,}"
    if plan.coming != 0:
        sources = f"{sources} and more" if plan.coming is None else f"at most {sources}"
    took = "not asked yet" if plan.seconds is None else spoken(plan.seconds)
    return (plan.maker, plan.model, sources, plan.kind, *counts, price, took)


def maker_lines(calls: "Sequence[PlannedCalls]") -> Iterator[str]:
    """What all makers come to."""
    unknown = any(each.coming is None or each.prompt_tokens is None for each in calls)
    besides = ", but for what is asked about rows that are not made yet" if unknown else ""
    if prices := [each.price for each in calls if each.price is not None]:
        stated = "of the price that the endpoints state for makers"
        yield f"in all at most {sum(prices):.4g} {stated}{besides}"
    if times := [each.seconds for each in calls if each.seconds is not None]:
        told = "of makers, as calls went before or were tried"
        yield f"in all at most {spoken(sum(times))} {told}{besides}"


def plan_row(plan: "MeasurePlan") -> tuple[object, ...]:
    """One line of the table."""
    took = "stored" if plan.seconds is None else spoken(plan.seconds)
    memory = "" if plan.peak_bytes is None else f"{plan.peak_bytes / 2**30:.1f} GiB"
    counts = (f"{count:,}" for count in (plan.rows, plan.missing, plan.tokens))
    return (plan.name, plan.model, *counts, plan.tried, took, memory)
