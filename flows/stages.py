"""The stages of a run, in order: each takes the state of the run and gives the next one.

What a stage does is in pipeline/ and fine_tune/; here is which task does it, and what is said.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture

from fine_tune.outcome import read_outcome, training_folder, trial_identity
from fine_tune.report import TrainReport
from fine_tune.train import ADAPTER_FOLDER
from flows.artifacts import Progress, artifact_key, show_training
from flows.fine_tune_export import train_export
from flows.recipe import Recipe, step_lines
from flows.record_training import write_outcome
from flows.talk import say
from pipeline.deduplicate import deduplicate_examples
from pipeline.export import Exported, export_selection
from pipeline.generate import (
    GenerateSettings,
    PromptBatch,
    answer_prompts,
    choose_prompts,
    commit_answers,
    count_generated,
    cut_prompts,
)
from pipeline.ingest import count_ingest, identify_sources, ingest_sources
from pipeline.measure import Work, plan_measures
from pipeline.run_context import RunContext
from pipeline.score import score_examples, score_key
from pipeline.select import Chosen, select_examples
from pipeline.shards import MeasuredShard, Shard, commit_measured, cut_shards, measure_shard
from scorers.measures.devices import usable_devices
from scorers.measures.models import resolve_model
from storage.conversations import content_hash
from storage.database import open_workspace, read_workspace
from storage.examples import Attempt, read_pool
from storage.measurements import MeasureKey
from storage.runs import finish_run, start_run
from storage.workspace import Workspace

StageName = Literal["ingest", "generate", "measure", "score", "dedupe", "select", "export", "train"]

PACKAGES = ("pipeline", "flows", "scorers", "storage", "fine_tune")


@task(task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
def measure(shard: Shard, label: str) -> MeasuredShard:
    """Ask a model about one shard."""
    return measure_shard(shard)


@task(task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
def answer(batch: PromptBatch, label: str) -> list[Attempt]:
    """Ask a model to answer one batch of prompts."""
    return answer_prompts(batch)


@dataclass(frozen=True, slots=True)
class RunState:
    """How far a run has come."""

    recipe: Recipe
    """As written, with the target resolved: what is stored."""
    placed: Recipe
    """The same with paths as seen from the working directory."""
    run: RunContext
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


def begin(recipe: Recipe, placed: Recipe) -> RunState:
    """Identify the sources, and with them the run: the same recipe on the same rows is the same."""
    workspace = Workspace(Path(placed.workspace))
    sources = identify_sources(workspace, placed.sources)
    source_ids = sorted(source.source_id for source in sources)
    code = code_version()
    run_id = content_hash([recipe.stored(), source_ids, code])[:12]
    run = RunContext(workspace, run_id, recipe.seed, source_ids, {}, {})
    models = {recipe.target: resolve_model(placed.target).fingerprint}
    say(f"run {run_id} in {workspace.directory}")
    with open_workspace(workspace) as con:
        start_run(con, run_id, recipe.stored(), code, models, source_ids)
    ingest_sources(workspace, sources, lambda what, rows: say(f"{what}: {rows} rows"))
    return RunState(recipe, placed, run)


def code_version() -> str:
    """The version of Sluice, with a hash of its own source files: an edit is another version."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{version('sluice-sft')}+{digest.hexdigest()[:12]}"


class TooManyBadRowsError(ValueError):
    """More rows went to quarantine than the recipe tolerates."""


class NoRowsError(ValueError):
    """The sources hold no row, or the steps of the selection left none."""


def ingest_stage(state: RunState) -> RunState:
    """Rows → distinct examples.

    Raises:
        TooManyBadRowsError: if more of the rows could not be read than the recipe tolerates.
        NoRowsError: if there is none.
    """
    count = count_ingest(state.run.workspace, state.run.run_id, state.run.source_ids)
    say(
        f"ingest: {count.rows_in} rows, {count.kept} distinct examples, "
        f"{sum(count.quarantined.values())} in quarantine"
    )
    bad, limit = sum(count.quarantined.values()), state.recipe.tolerated_bad_rows
    if bad > limit * count.rows_in:
        raise TooManyBadRowsError(
            f"{bad} of {count.rows_in} rows could not be read, and the recipe tolerates a share of "
            f"{limit:g}. See `sluice quarantine -w {state.run.workspace.directory}`, mend the "
            "source, or raise tolerated_bad_rows"
        )
    if not count.kept:
        raise NoRowsError("the sources hold no row that could be read")
    with read_workspace(state.run.workspace) as con:
        return replace(state, pool=read_pool(con, state.run.source_ids))


def generate_stage(state: RunState) -> RunState:
    """Prompts → new answers."""
    blocks: list[tuple[GenerateSettings, Sequence[str]]] = []
    asked = dict(state.asked)
    for settings in state.placed.generate:
        chosen = choose_prompts(state.run, settings)
        batches = cut_prompts(state.run, settings, chosen)
        for number, batch in enumerate(batches, start=1):
            label = f"answer {number} of {len(batches)}, {len(batch.parents)} prompts"
            say(f"generate: {label}", again=True)
            commit_answers(state.run, settings, answer.submit(batch, label).result())
        asked["answers"] = asked.get("answers", 0) + sum(len(b.parents) for b in batches)
        blocks.append((settings, chosen))
    return replace(state, pool=count_generated(state.run, blocks, state.pool), asked=asked)


def measure_stage(state: RunState) -> RunState:
    """Ask models for what is not stored."""
    run = state.run
    works = plan_measures(run.workspace, state.placed.measure, state.pool, run.seed)
    asked = dict(state.asked)
    sizes = works["token_counts"].measure.key()
    for name, work in works.items():
        asked[name] = measure_work(run.workspace, state.recipe.name, name, work, sizes)
    keys = {name: work.measure.key() for name, work in works.items()}
    parts = {name: len(work.ids) for name, work in works.items() if len(work.ids) < work.pool}
    return replace(state, run=replace(run, measures=keys), asked=asked, parts=parts)


def measure_work(
    workspace: Workspace, recipe: str, name: str, work: Work, sizes: MeasureKey
) -> int:
    """Do one measure: cut what is missing, submit a task for each shard, commit as they finish.

    A few tasks are under way or waiting at a time: enough that every device has work, and that the
    next shard is tokenised while one is computed; and few enough that a kill finds little begun.
    """
    cut = cut_shards(workspace, work.measure, work.ids, sizes)
    part = "" if len(work.ids) == work.pool else f", a part of the pool of {work.pool}"
    asked = f"{cut.rows} to ask for{work.note}"
    say(f"measure: {name} of {len(work.ids)} rows{part}; {asked}", again=True)
    if not cut.rows:
        return 0
    progress = Progress(artifact_key(recipe, "measuring", name), f"measuring {name}")
    started = time.monotonic()
    done = 0
    waiting: deque[tuple[Shard, PrefectFuture[MeasuredShard]]] = deque()
    shards = enumerate(cut, start=1)
    while True:
        for number, shard in islice(shards, tasks_under_way() - len(waiting)):
            label = f"measure {name} {number} of {len(cut)}, {shard.rows} rows"
            waiting.append((shard, measure.submit(shard, label)))
        if not waiting:
            return cut.rows
        shard, future = waiting.popleft()
        commit_measured(workspace, work.measure, [future.result()])
        done += shard.rows
        progress.at(done, cut.rows)
        took = f"{time.monotonic() - started:.0f} s"
        say(f"measure: {name}, {done} of {cut.rows} rows, {took}", again=done == cut.rows)


def tasks_under_way() -> int:
    """One task for each device, and one more that prepares its input."""
    return len(usable_devices()) + 1


def score_stage(state: RunState) -> RunState:
    """Measurements → scores."""
    run = state.run
    keys = {}
    for settings in state.recipe.scores:
        keys[settings.label] = score_key(settings, run.measures)
        states = score_examples(run.workspace, settings, run.measures, state.pool)
        shown = ", ".join(f"{count} {name}" for name, count in states.items())
        say(f"score: {settings.label}: {shown}", again=True)
    return replace(state, run=replace(run, scores=keys))


def dedupe_stage(state: RunState) -> RunState:
    """Remove copies."""
    left = deduplicate_examples(state.run, state.recipe.dedupe, state.pool)
    say(f"dedupe: {len(state.pool)} examples, {len(left)} left")
    return replace(state, pool=left)


def select_stage(state: RunState) -> RunState:
    """Choose rows."""
    chosen = select_examples(state.run, state.recipe.select, state.pool)
    say(f"select: {chosen.rows} rows, {chosen.loss_tokens} loss tokens. {chosen.unspent}".strip())
    return replace(state, chosen=chosen)


def export_stage(state: RunState) -> RunState:
    """Write the selection for the trainer.

    Raises:
        NoRowsError: if nothing was selected.
    """
    if not state.chosen or not state.chosen.rows:
        raise NoRowsError(
            "the steps left no row to export; which step dropped them is in "
            f"`sluice report -w {state.run.workspace.directory}`"
        )
    stored, tokens = state.recipe.stored(), state.placed.measure.tokens
    exported = export_selection(state.run, stored, tokens, step_lines(state.recipe))
    say(f"export: {exported.path}")
    return replace(state, exported=exported)


def train_stage(state: RunState) -> RunState:
    """Fine-tune on the export, where the recipe asks for it."""
    if state.recipe.train is None or state.exported is None:
        return state
    manifest, directory = state.exported.manifest, state.run.workspace.directory
    target = resolve_model(state.placed.target)
    trial_id = trial_identity(manifest.export_id, target.fingerprint, state.recipe.train)
    output = training_folder(state.exported.path, trial_id)
    say(f"train: {manifest.counts('train').rows} rows with LoRA", again=True)
    report = train_export.submit(
        state.exported.path, state.placed.target, output, state.recipe.train
    ).result()
    outcome = read_outcome(output, directory)
    assert outcome is not None
    with open_workspace(state.run.workspace) as con:
        write_outcome(con, outcome)
    show_training(state.recipe.name, outcome)
    return replace(state, trained=report, adapter=directory / outcome.adapter / ADAPTER_FOLDER)


def finish(state: RunState) -> None:
    """Record that every stage was done."""
    with open_workspace(state.run.workspace) as con:
        finish_run(con, state.run.run_id)


STAGES: dict[StageName, Callable[[RunState], RunState]] = {
    "ingest": ingest_stage,
    "generate": generate_stage,
    "measure": measure_stage,
    "score": score_stage,
    "dedupe": dedupe_stage,
    "select": select_stage,
    "export": export_stage,
    "train": train_stage,
}
