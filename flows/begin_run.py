"""How a run begins: its sources are identified, and with them the run; then they are read.

The state of a run, which every stage takes and gives on, is here too.
"""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from fine_tune.report import TrainReport
from flows.progress import counted, say
from flows.recipe.schema import Recipe
from pipeline.code_version import code_version
from pipeline.contamination.stage import evaluation_fingerprints
from pipeline.documents.stage import FoundDocument, identify_documents, ingest_documents
from pipeline.export.stage import Exported
from pipeline.ingest.stage import (
    count_ingest,
    distinct_sources,
    exported_path,
    identify_block,
    identify_sources,
    ingest_sources,
)
from pipeline.measuring.catalogue import VIEW_COLUMNS
from pipeline.run_context import RunContext
from pipeline.scoring.targets import describe_targets, read_targets
from pipeline.selection.stage import Chosen
from scorers.measures.models.loading import read_template, resolve_model
from storage.conversations import content_hash
from storage.database import WorkspaceMissingError, open_workspace, read_tables, read_workspace
from storage.documents import count_documents
from storage.examples import read_pool
from storage.reviews import read_marked_bad
from storage.runs import start_run, write_run_targets
from storage.shard_location import set_shard_location
from storage.sources import Source
from storage.views import declare_measures
from storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RunState:
    """How far a run has come."""

    recipe: Recipe
    """As written, with the target resolved: what is stored."""
    placed: Recipe
    """The same with paths as seen from the working directory."""
    run: RunContext
    documents: Sequence[FoundDocument] = ()
    """Files of text, as they were when the run began."""
    pool: Sequence[str] = ()
    """Example ids that the stages so far have left."""
    asked: Mapping[str, int] = field(default_factory=dict)
    """Rows a model was asked about in this execution, by measure."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Rows of the pool that a measure is wanted of, for measures of a part of it only."""
    chosen: Chosen | None = None
    exported: Exported | None = None
    trained: TrainReport | None = None
    adapter: Path | None = None


COLLECTED_AFTER = (50_000, 20, 100)
"""Of Python's three generations; 700, 10 and 10 by itself."""


def collect_seldom() -> None:
    """Have Python look for cycles seldom, and at nothing that is loaded by now.

    A million rows are tuples and lists without a cycle. To look through them and all modules again
    and again is a fifth of what reading them takes.
    """
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)


def begin(recipe: Recipe, base: Path) -> RunState:
    """Record that a run starts, and read the sources that the workspace does not have."""
    collect_seldom()
    state, sources = identify(recipe, base)
    target = resolve_model(state.placed.target)
    run, models = state.run, {recipe.target: target.fingerprint}
    say(f"run {run.run_id} in {run.workspace.directory}")
    with open_workspace(run.workspace) as con:
        declare_measures(con, VIEW_COLUMNS)
        start_run(con, run.run_id, recipe.stored(), code_version(), models, run.source_ids)
        write_run_targets(con, run.run_id, run.target_source_ids)
    read_in(state, sources)
    if state.documents:
        with counted("files") as work:
            ingest_documents(run.workspace, run.run_id, state.documents, target, work.at)
    return state


def identify(recipe: Recipe, base: Path) -> tuple[RunState, Sequence[Source]]:
    """Identify what is read, and with it the run: the same recipe on the same rows is the same.

    Args:
        recipe: as written, with the target resolved.
        base: directory that its relative paths start from.
    """
    placed = recipe.at(base)
    workspace = Workspace(Path(placed.workspace))
    set_shard_location(workspace.directory, placed.shards)
    blocks = [identify_block(workspace, block) for block in placed.sources]
    sources = distinct_sources(blocks)
    targets = identify_sources(workspace, placed.targets)
    source_ids = sorted(source.source_id for source in sources)
    target_ids = sorted(source.source_id for source in targets)
    files = evaluation_fingerprints(placed.check)
    if placed.chat_template:
        files = [*files, content_hash(read_template(Path(placed.chat_template)))]
    files = [*files, *fingerprint_verdicts(placed, workspace)]
    documents: Sequence[FoundDocument] = ()
    if placed.documents:
        tokenizer = resolve_model(placed.target).fingerprint
        documents = identify_documents(workspace, placed.documents, tokenizer)
    cut_ids = sorted(each.place.cut_id for each in documents)
    # Whatever can change the result: after an edit of the code or of a file it is another run.
    run_id = content_hash(
        [recipe.stored(), source_ids, target_ids, code_version(), *files, *cut_ids]
    )[:12]
    named: dict[str, list[str]] = {}
    for written, found in zip(recipe.sources, blocks, strict=True):
        # Two blocks may name one path, each with a format of its own.
        named.setdefault(written.path, []).extend(source.source_id for source in found)
    run = RunContext(workspace, run_id, recipe.seed, source_ids, measures={}, scores={})
    paths = {each.source_id: exported_path(workspace, each.path, base) for each in sources}
    run = replace(run, named_sources=named, source_paths=paths, target_source_ids=target_ids)
    read = {each.place.path: exported_path(workspace, each.place.path, base) for each in documents}
    run = replace(run, cut_ids=cut_ids, document_paths=read)
    return RunState(recipe, placed, run, documents), [*sources, *targets]


def fingerprint_verdicts(recipe: Recipe, workspace: Workspace) -> list[str]:
    """What was marked bad, as one hash; none where no step of the recipe reads it."""
    if not any(step.reads_reviews for step in recipe.select.steps):
        return []
    try:
        with read_tables(workspace) as con:
            return [content_hash(read_marked_bad(con))]
    except WorkspaceMissingError:  # it is made when the run begins
        return [content_hash([])]


def read_in(state: RunState, sources: Sequence[Source]) -> None:
    """Read the sources that the workspace does not have yet."""
    with counted("rows") as work:
        ingest_sources(state.run.workspace, sources, work.at)


class TooManyBadRowsError(ValueError):
    """More rows went to quarantine than the recipe tolerates."""

    exit_code: ClassVar[int] = 3


class NoRowsError(ValueError):
    """The sources hold no row, or the steps of the selection left none."""

    exit_code: ClassVar[int] = 1


def ingest_stage(state: RunState) -> RunState:
    """Rows → distinct examples.

    Raises:
        TooManyBadRowsError: if more of the rows could not be read than the recipe tolerates.
        NoRowsError: if there is none.
    """
    run = with_targets(state.run)
    passages, about_documents = describe_documents(state)
    notes = [*describe_targets(run.workspace, run.targets, run.source_ids), *about_documents]
    count = count_ingest(run.workspace, run.run_id, run.source_ids, notes)
    say(
        f"ingest: {count.rows_in} rows, {count.kept} distinct examples, "
        f"{sum(count.quarantined.values())} in quarantine"
    )
    for note in notes:
        say(f"ingest: {note}")
    tolerate(state, "rows", sum(count.quarantined.values()), count.rows_in)
    tolerate(state, "rows of the targets", run.targets.quarantined, run.targets.rows)
    named = state.recipe.sources or state.recipe.documents  # none where a maker invents its rows
    if named and not count.kept and not passages:
        what = "the sources hold no row" if state.recipe.sources else "the documents hold no text"
        raise NoRowsError(
            f"{what} that could be read: see `sluice quarantine -w {run.workspace.directory}`"
        )
    reading = [each.method for each in state.recipe.generate if each.needs == "passages"]
    if reading and not passages:
        raise NoRowsError(
            f"{' and '.join(reading)} has nothing to work on: the documents gave no passage. "
            f"`sluice quarantine -w {run.workspace.directory}` says of each file why, and what to "
            "do"
        )
    if state.recipe.targets and not run.target_ids:
        raise NoRowsError("the targets hold no row that could be read")
    with read_workspace(run.workspace) as con:
        return replace(state, run=run, pool=read_pool(con, run.source_ids))


def describe_documents(state: RunState) -> tuple[int, list[str]]:
    """How many passages the documents of a run have, and what is to be said of them."""
    if not state.recipe.documents:
        return 0, []
    with read_workspace(state.run.workspace) as con:
        counts = count_documents(con, state.run.run_id)
    quarantined = sum(counts.quarantined.values())
    by_reason = ", ".join(f"{reason} {files}" for reason, files in counts.quarantined.items())
    listed = f" ({by_reason}; see `sluice quarantine`)" if by_reason else ""
    note = f"documents: {counts.files} files, {counts.passages} passages"
    return counts.passages, [f"{note}, {quarantined} files in quarantine{listed}"]


def with_targets(run: RunContext) -> RunContext:
    """The same run, knowing the examples to be close to."""
    return replace(run, targets=read_targets(run.workspace, run.target_source_ids))


def tolerate(state: RunState, what: str, bad: int, rows: int) -> None:
    """Raise TooManyBadRowsError if more rows could not be read than the recipe tolerates."""
    limit = state.recipe.tolerated_bad_rows
    if bad > limit * rows:
        raise TooManyBadRowsError(
            f"{bad} of {rows} {what} could not be read, and the recipe tolerates a share of "
            f"{limit:g}. See `sluice quarantine -w {state.run.workspace.directory}`, mend the "
            "source, or raise tolerated_bad_rows"
        )
