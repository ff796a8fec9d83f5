"""How a recipe selects: steps whose scores, sources, groups or budget are not to be had."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.recipe.check_measures import is_label, missing_embeddings, unknown_score
from flows.recipe.schema import Recipe
from pipeline.dedupe.which_copy import SourceOrder
from pipeline.ingest.bounds import bound_rows, bound_tokens
from pipeline.ingest.stage import stored_path
from pipeline.measuring.catalogue import MEASURES
from pipeline.scoring.turn_scores import turn_scorers
from pipeline.selection.allocate_budget import COLUMNS
from pipeline.selection.methods.trained_turns import TrainedTurns
from pipeline.selection.step import Filter, RankStep
from scorers import SCORERS
from scorers.names import did_you_mean
from storage.source_paths import has_name
from storage.workspace import Workspace


def select_problems(recipe: Recipe) -> Iterator[str]:
    """Steps that name scores or embeddings that the recipe does not have, or rank by a label."""
    labels = {score.label for score in recipe.scores if is_label(score.scorer)}
    for number, step in enumerate(recipe.select.steps):
        where = f"select.steps.{number}"
        for score in step.scores():
            yield from unknown_score(recipe, f"{where}.score", score)
            if score in labels and not step.ranks_labels:
                yield f"{where}.score: {score!r} is a cluster's label and ranks nothing; use s2l"
        if isinstance(step, TrainedTurns):
            yield from turn_score_problems(recipe, where, step.score)
        for measure in step.measures():
            block = MEASURES[measure].block
            if measure not in recipe.measure.names():
                yield f"{where}: {step.method} reads {measure}: add the block measure.{block}"
        if isinstance(step, RankStep):
            yield from comparison_problems(recipe, where, step)


def comparison_problems(recipe: Recipe, where: str, rank: RankStep) -> Iterator[str]:
    """Embeddings that a ranking step compares, or targets, which the recipe does not have."""
    if rank.compares_targets() and not recipe.targets:
        yield f"{where}: {rank.method} compares rows with targets: add the block targets"
    if compared := rank.compared():
        yield from missing_embeddings(recipe, where, compared)


def turn_score_problems(recipe: Recipe, where: str, name: str) -> Iterator[str]:
    """A score that has no value for a single turn."""
    for score in recipe.scores:
        if score.label == name and score.scorer in SCORERS.keys() - set(turn_scorers()):
            yield (
                f"{where}.score: {name!r} has no value for a single turn; scores that do are made "
                f"by {', '.join(turn_scorers())}"
            )


def repair_problems(recipe: Recipe) -> Iterator[str]:
    """Repairs without what chooses between them and the rows, and the other way round."""
    repairs = [n for n, block in enumerate(recipe.generate) if block.method == "repair"]
    choosing = [n for n, step in enumerate(recipe.select.steps) if step.of_repairs]
    needing = ["measure.preferences"] if recipe.measure.preferences else []
    needing += [f"select.steps.{n}" for n in choosing]
    for where in needing if not repairs else ():
        yield f"{where}: nothing is repaired: add a block {{method: repair}} to generate"
    for n in repairs[1:]:
        yield f"generate.{n}: a second block of repairs; a run has one"
    if repairs and not choosing:
        yield f"generate.{repairs[0]}: rows and their repairs would both stay: add clear_repair"
    if repairs and recipe.dedupe:
        yield (
            "dedupe: would take a row for a copy of its repair: leave it out of a recipe that "
            "repairs"
        )


def budget_problems(recipe: Recipe) -> Iterator[str]:
    """A budget that the sources cannot fill, as far as that can be told without reading them."""
    budget = recipe.select.rank.budget
    files = [(file, source.format) for source in recipe.sources for file in source.files()]
    if not files:
        return
    growth = 1 + sum(each.rows_each() for block in recipe.generate for each in block.by_teacher())
    where = f"select.steps.{len(recipe.select.steps) - 1}.budget"
    bounds = [bound_rows(file, format) for file, format in files]
    most = growth * sum(bound or 0 for bound in bounds)
    # By any number: of all rows together, of however many passages, or of rows made of rows.
    grows = any(
        each.makes_of_whole or each.needs == "passages" or each.reads for each in recipe.generate
    )
    if budget.rows and None not in bounds and budget.rows > most and not grows:
        grown = " and the answers to them" if recipe.generate else ""
        yield f"{where}.rows: {budget.rows} is more than the {most} rows of the sources{grown}"
    sizes = [bound_tokens(file, format) for file, format in files]
    if budget.loss_tokens and None not in sizes and not recipe.generate:
        most = sum(size or 0 for size in sizes)  # a token has a byte at least
        if budget.loss_tokens > most:
            yield (
                f"{where}.loss_tokens: {budget.loss_tokens} is more than the sources can hold: "
                f"they have {most} bytes"
            )


def share_problems(recipe: Recipe) -> Iterator[str]:
    """Shares by what groups no rows."""
    shares = recipe.select.rank.shares
    if shares is None or shares.by in COLUMNS:
        return
    labels = [score.label for score in recipe.scores if is_label(score.scorer)]
    if shares.by not in labels:
        yield (
            f"select.steps.{len(recipe.select.steps) - 1}.shares.by: {shares.by!r} is not a "
            f"column, nor a score of this recipe whose values are labels."
            f" {did_you_mean(shares.by, [*COLUMNS, *labels])}"
        )


def licence_share_problems(recipe: Recipe) -> Iterator[str]:
    """Quotas for licences that no source has."""
    shares = recipe.select.rank.shares
    if shares is None or shares.by != "license":
        return
    known = [source.license for source in recipe.sources]
    known += ["generated"] if recipe.generate or recipe.personal_data or recipe.indicator else []
    for name in shares.quotas or ():
        if name not in known:
            where = f"select.steps.{len(recipe.select.steps) - 1}.shares.quotas"
            yield f"{where}: no source has the licence {name!r}. {did_you_mean(name, known)}"


def named_source_problems(recipe: Recipe) -> Iterator[str]:
    """Steps that name sources which the recipe does not have."""
    workspace = Workspace(Path(recipe.workspace))
    files = [file for source in recipe.sources for file in source.files()]
    paths = [stored_path(workspace, file) for file in files]  # what a step will see of them
    if any(source.query is not None for source in recipe.sources):
        return  # the answer to a query lies in the workspace, under a name of its own
    paths += ["generated"] if recipe.generate else []
    named = [
        (f"select.steps.{number}.{key}", names)
        for number, step in enumerate(recipe.select.steps)
        for key, names in step.source_parts().items()
    ]
    balance = recipe.train.balance if recipe.train else None
    named += [("train.balance", tuple(balance))] if isinstance(balance, dict) else []
    for where, names in named:
        for name in names:
            if not any(has_name(path, name) for path in paths):
                yield f"{where}: no source is called {name!r}. {did_you_mean(name, paths)}"


def unknown_sources(blocks: Mapping[str, Any]) -> Iterator[str]:
    """Steps that name a source the recipe does not have, by paths as they are written."""
    if "sources" not in blocks:
        return
    known = [source.path for source in blocks["sources"]]
    named = [
        (f"dedupe.{number}.keep", kept.sources)
        for number, step in enumerate(blocks.get("dedupe", ()))
        for kept in step.keeps()
        if isinstance(kept, SourceOrder)
    ]
    named += [
        (f"select.steps.{number}", step.named_sources())
        for number, step in enumerate(blocks["select"].steps if "select" in blocks else ())
        if isinstance(step, Filter)
    ]
    for where, paths in named:
        for path in paths:
            if path not in known:
                yield f"{where}: {path!r} is no source of this recipe. {did_you_mean(path, known)}"
