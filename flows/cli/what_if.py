"""`sluice what-if`: the selection that other settings would make, in seconds; writes nothing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import AsJson, RecipeFile, RunOption
from flows.cli.output import print_json, print_table, print_text

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe
    from pipeline.reporting.what_if import WhatIf
    from pipeline.run_context import RunContext
    from pipeline.scoring.targets import Targets
    from storage.database import Connection
    from storage.measurements import MeasureKey
    from storage.scores import ScoreKey
    from storage.workspace import Workspace

COLUMNS = ["step", "in", "kept", "left, by reason"]


def what_if(
    recipe: RecipeFile,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="PLACE=VALUE",
            help="A setting to try, such as select.steps.1.at_most=0.9; may be given again.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    run: RunOption = None,
    as_json: AsJson = False,
) -> None:
    """Say what an edited recipe would select, from what its last run stored; no model is asked.

    Nothing is written. Everything in `select` can be tried; what changes the
    pool or its numbers needs a run.
    """
    from flows.recipe.check import load_recipe

    outcome = try_settings(load_recipe(recipe, settings), recipe.parent, run)
    if as_json:
        print_json(outcome)
        return
    from pipeline.reporting.changes import changes_markdown
    from pipeline.reporting.report import losses

    print_table(COLUMNS, [(c.label, c.rows_in, c.kept, losses(c)) for c in outcome.steps])
    print_text(f"it would choose {outcome.rows} rows, {outcome.loss_tokens} loss tokens\n")
    for note in (note for step in outcome.steps for note in step.notes):
        print_text(f"{note}\n")
    print_text(f"\n{changes_markdown(outcome.changes)}")


def try_settings(recipe: "Recipe", base: Path, run_id: str | None) -> "WhatIf":
    """Select as the recipe says, on the pool and the numbers of a run of it.

    Raises:
        QueryError: if there is no such run, or the recipe differs from it in more than what a
            what-if can answer for.
    """
    from pipeline.ingest.stage import exported_path
    from pipeline.reporting.changes import differences
    from pipeline.reporting.what_if import beyond_reach, select_again
    from storage.changes import describe_run
    from storage.database import QueryError, read_workspace
    from storage.retention import read_run_keys
    from storage.runs import find_run
    from storage.sources import read_source_paths
    from storage.what_if import find_last_choice
    from storage.workspace import Workspace

    workspace = Workspace(Path(recipe.at(base).workspace))
    with read_workspace(workspace) as con:
        found = find_run(con, run_id) if run_id else find_last_choice(con, recipe.name)
        if found is None:
            raise QueryError(
                f"no run of {recipe.name} has selected anything in {workspace.directory} yet: "
                "`sluice run` it once; after that its selection can be tried in other ways"
            )
        changed = list(differences(describe_run(con, found).recipe, recipe.stored(), ""))
        if beyond := beyond_reach(changed):
            raise QueryError(
                "a what-if can change how rows are selected; the pool or its numbers change with "
                f"{', '.join(each.setting for each in beyond)}, which run {found} had otherwise: "
                "`sluice select` the recipe"
            )
        measures = read_run_keys(con, found)
        if any(block.method == "repair" for block in recipe.generate):
            raise QueryError(
                "a what-if cannot tell which rows are repairs of which: `sluice select` the recipe"
            )
        run = context_of(con, workspace, recipe, found, measures)
        paths = dict(read_source_paths(con, run.source_ids))
        called = {each: exported_path(workspace, path, base) for each, path in paths.items()}
        named = named_sources(con, recipe, base, run)
        run = replace(run, named_sources=named, source_paths=called)
        return select_again(con, run, recipe.select, changed, recipe.licenses)


def context_of(
    con: "Connection",
    workspace: "Workspace",
    recipe: "Recipe",
    run_id: str,
    measures: "Mapping[str, MeasureKey]",
) -> "RunContext":
    """What a run knew: its sources and targets, and its numbers as the recipe names them."""
    from pipeline.run_context import RunContext
    from pipeline.scoring.targets import Targets
    from storage.examples import read_pairs
    from storage.runs import read_run_sources, read_run_targets

    sources = read_run_sources(con, run_id)  # of then: files may have changed since
    aims = read_run_targets(con, run_id)
    targets = Targets(read_pairs(con, aims))
    scores = find_score_keys(con, recipe, targets, measures)
    run = RunContext(workspace, run_id, recipe.seed, sources, measures, scores)
    return replace(run, target_source_ids=aims, targets=targets)


def find_score_keys(
    con: "Connection", recipe: "Recipe", targets: "Targets", measures: "Mapping[str, MeasureKey]"
) -> "dict[str, ScoreKey]":
    """The key of each score as the recipe defines it, of the numbers and the targets of a run.

    Raises:
        QueryError: if one is not stored.
    """
    from pipeline.scoring.stage import measure_names, score_key
    from storage.database import QueryError
    from storage.what_if import has_score

    scores = {
        each.label: score_key(each, measures, targets)
        for each in recipe.scores
        if set(measure_names(each)) <= set(measures)  # of the text alone there is none to lack
    }
    stored = {label for label, key in scores.items() if has_score(con, key)}
    if lacking := [each.label for each in recipe.scores if each.label not in stored]:
        raise QueryError(
            f"no {', '.join(lacking)} is stored as the recipe defines it: `sluice score` the "
            "recipe, which asks no model for what is measured already"
        )
    return scores


def named_sources(
    con: "Connection", recipe: "Recipe", base: Path, run: "RunContext"
) -> dict[str, list[str]]:
    """Path of each source as the recipe writes it → the ids of what the run read there."""
    from pipeline.ingest.stage import stored_path
    from storage.sources import read_source_paths

    ids = {path: source_id for source_id, path in read_source_paths(con, run.source_ids)}
    named: dict[str, list[str]] = {}
    for written, placed in zip(recipe.sources, recipe.at(base).sources, strict=True):
        paths = [stored_path(run.workspace, name) for name in placed.files()]
        # A path may be written in two blocks, and a file may be here that the run did not read.
        named.setdefault(written.path, []).extend(ids[path] for path in paths if path in ids)
    return named
