"""The stages of a run, in order: each takes the state of the run and gives the next one.

What a stage does is in pipeline/ and fine_tune/; here is which task does it, and what is said.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from fine_tune.files import weights_folder
from fine_tune.mixture import pin_exports
from fine_tune.outcome import place_of_training, read_outcome
from flows.artifacts import show_training
from flows.begin_run import NoRowsError, RunState, ingest_stage
from flows.fine_tune_export import train_export, training_said
from flows.measure_shards import measure_job
from flows.progress import counted, say
from flows.recipe.adapters import place_adapters
from flows.recipe.schema import step_lines
from flows.record_training import write_outcome
from flows.runners import do_all
from pipeline.cleaning.stage import clean_pool
from pipeline.contamination.stage import check_examples
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.export.stage import export_selection
from pipeline.generation.asking import CallBatch, SendBatches, answer_batch
from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.indicator import indicate_examples
from pipeline.generation.make import count_made, make_rows, repair_key
from pipeline.measuring.faults import count_faults, fault_lines
from pipeline.measuring.measure import Repairs
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import score_examples, score_key, unmeasured_targets
from pipeline.selection.run_steps import later_objections
from pipeline.selection.stage import select_examples
from storage.database import open_workspace, read_workspace
from storage.maker_calls import StoredReply
from storage.retention import write_run_measures
from storage.runs import finish_run

StageName = Literal[
    "ingest",
    "generate",
    "clean",
    "measure",
    "score",
    "indicate",
    "dedupe",
    "check",
    "select",
    "export",
    "train",
]


@task(task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
def ask_batch(batch: CallBatch, label: str) -> list[StoredReply]:
    """Ask a model what a maker wants to know."""
    return answer_batch(batch)


def generate_stage(state: RunState) -> RunState:
    """Rows of the pool → new rows, a maker after the other."""
    generators = place_adapters(state.run.workspace, state.placed.generate, state.recipe.name)
    pool, asked = sorted(state.pool), dict(state.asked)
    for step, maker in enumerate(generators, start=1):
        pool, calls = make_stage(state.run, maker, pool, step)
        asked[maker.method] = asked.get(maker.method, 0) + calls
    run = replace(state.run, repairs=repair_key(generators, state.run.seed))
    return replace(state, run=run, pool=pool, asked=asked)


def make_stage(
    run: RunContext, maker: AnyMaker, pool: Sequence[str], step: int
) -> tuple[list[str], int]:
    """One maker's rows; the pool with them, and how many calls that took now."""
    with counted("calls") as work:
        made = make_rows(run, maker, work.at, sending(maker))
    grown = count_made(run, made, pool, step)
    say(f"generate: {maker.method}: {made.asked} calls, {len(pool)} examples, {len(grown)} now")
    if made.unfinished:
        say(f"generate: {maker.method}: stopped by at_most; `sluice report` has how far it came")
    return grown, made.asked


def sending(maker: AnyMaker) -> SendBatches:
    """How the batches of a maker's calls are answered: a task for each, where models are asked."""

    def send(batches: Iterable[CallBatch]) -> Iterator[list[StoredReply]]:
        labelled = (
            (batch, f"{maker.method} {batch.number}, {len(batch.requests)} calls")
            for batch in batches
        )
        # A server is asked from one place, which keeps its replies.
        for _, replies in do_all(ask_batch, labelled, anywhere=maker.endpoint is None):
            yield replies

    return send


def clean_stage(state: RunState) -> RunState:
    """Look for personal data, where the recipe asks for it."""
    if state.recipe.personal_data is None:
        return state
    cleaned = clean_pool(state.run, state.recipe.personal_data, state.pool)
    say(f"clean: personal data in {cleaned.examples} examples, {len(cleaned.pool)} left")
    return replace(state, pool=cleaned.pool)


def measure_stage(state: RunState) -> RunState:
    """Ask models for what is not stored."""
    run = state.run
    repairs = Repairs(run.repairs, run.source_ids) if run.repairs else None
    wanted = state.placed.measure
    jobs = plan_measures(run.workspace, wanted, state.pool, run.seed, run.target_ids, repairs)
    asked = dict(state.asked)
    sizes = jobs["token_counts"].measure.key()
    for name, job in jobs.items():
        asked[name] = measure_job(run.workspace, state.recipe.name, name, job, sizes)
        if name == "token_counts":  # before models are asked of rows that cannot be trained
            with read_workspace(run.workspace) as con:
                faults = count_faults(con, sizes, state.pool, state.pool)
            for line in fault_lines(faults):
                say(f"measure: {line}")
    keys = {name: job.measure.key() for name, job in jobs.items()}
    with open_workspace(run.workspace) as con:
        write_run_measures(con, run.run_id, keys)
    parts = {name: len(job.ids) for name, job in jobs.items() if len(job.ids) < job.pool}
    return replace(state, run=replace(run, measures=keys), asked=asked, parts=parts)


def score_stage(state: RunState) -> RunState:
    """Measurements → scores."""
    run = state.run
    keys = {}
    for settings in state.recipe.scores:
        keys[settings.label] = score_key(settings, run.measures, run.targets)
        states = score_examples(run.workspace, settings, run.measures, state.pool, run.targets)
        shown = ", ".join(f"{count} {name}" for name, count in states.items())
        lacking = unmeasured_targets(run.workspace, settings, run.measures, run.targets)
        say(f"score: {settings.label}: {shown}{lacking}")
    return replace(state, run=replace(run, scores=keys))


def indicate_stage(state: RunState) -> RunState:
    """Mark prompts whose answers depend on them; what is new of that is measured and scored."""
    if state.recipe.indicator is None:
        return state
    pool = indicate_examples(state.run, state.recipe.indicator, state.pool)
    indicated = len(set(pool) - set(state.pool))
    say(f"indicate: {len(state.pool)} examples, {indicated} of them with a mark now")
    if pool == list(state.pool):  # no row got a mark: nothing is new to be measured
        return state
    again = score_stage(measure_stage(replace(state, pool=pool, asked={})))
    # Counted anew: what was asked before the marks counts too, and answers were asked only then.
    names = dict.fromkeys([*state.asked, *again.asked])
    asked = {name: state.asked.get(name, 0) + again.asked.get(name, 0) for name in names}
    return replace(again, asked=asked)


def dedupe_stage(state: RunState) -> RunState:
    """Remove copies."""
    select, licenses = state.recipe.select, state.recipe.licenses
    objections = partial(later_objections, settings=select, licenses=licenses)
    left = deduplicate_examples(state.run, state.recipe.dedupe, state.pool, objections)
    say(f"dedupe: {len(state.pool)} examples, {len(left)} left")
    return replace(state, pool=left)


def check_stage(state: RunState) -> RunState:
    """Compare with evaluation sets, where the recipe asks for it."""
    check = state.placed.check
    if check is None:
        return state
    left = check_examples(state.run, check, state.placed.measure.embeddings, state.pool)
    say(f"check: {len(state.pool)} examples, {len(left)} left")
    return replace(state, pool=left)


def select_stage(state: RunState) -> RunState:
    """Choose rows."""
    recipe = state.recipe
    chosen = select_examples(state.run, recipe.select, state.pool, recipe.licenses)
    say(f"select: {chosen.rows} rows, {chosen.loss_tokens} loss tokens.")
    for note in chosen.notes:
        say(f"select: {note}")
    return replace(state, chosen=chosen)


def export_stage(state: RunState) -> RunState:
    """Write the selection for the trainer.

    Raises:
        NoRowsError: if nothing was selected.
    """
    if not state.chosen or not state.chosen.rows:
        if not state.recipe.sources:
            raise NoRowsError(
                "there is no row to export: passages of documents are none until a maker makes "
                "rows of them. `sluice report` says what makers came to; without one, `sluice "
                "ingest` is as far as documents go"
            )
        raise NoRowsError(
            "the steps left no row to export; which step dropped them is in "
            f"`sluice report -w {state.run.workspace.directory}`"
        )
    lines = step_lines(state.recipe)
    # The recipe as written, so that the same one from another directory gives the same export.
    stored, tokens = state.recipe.stored(), state.placed.measure.tokens
    exported = export_selection(state.run, stored, tokens, lines, state.recipe.export)
    say(f"export: {exported.path}")
    return replace(state, exported=exported)


def train_stage(state: RunState) -> RunState:
    """Fine-tune on the export, where the recipe asks for it."""
    if state.recipe.train is None or state.exported is None:
        return state
    manifest, directory = state.exported.manifest, state.run.workspace.directory
    settings = pin_exports(state.recipe.train, state.exported.path)
    output = place_of_training(state.exported.path, state.placed.target, settings)
    say(f"train: {training_said(manifest, settings)}")
    report = train_export(  # not sent to a cluster: where it is done, its export must be
        state.exported.path, state.placed.target, output, settings
    )
    outcome = read_outcome(output, directory)
    assert outcome is not None
    with open_workspace(state.run.workspace) as con:
        write_outcome(con, outcome)
    show_training(state.recipe.name, outcome)
    trained = directory / outcome.adapter / weights_folder(settings.tune)
    return replace(state, trained=report, adapter=trained)


def finish(state: RunState) -> None:
    """Record that every stage was done."""
    with open_workspace(state.run.workspace) as con:
        finish_run(con, state.run.run_id)


STAGES: dict[StageName, Callable[[RunState], RunState]] = {
    "ingest": ingest_stage,
    "generate": generate_stage,
    "clean": clean_stage,
    "measure": measure_stage,
    "score": score_stage,
    "indicate": indicate_stage,
    "dedupe": dedupe_stage,
    "check": check_stage,
    "select": select_stage,
    "export": export_stage,
    "train": train_stage,
}
