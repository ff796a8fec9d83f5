"""Runs the stages of a recipe as the flow does, but without Prefect and with stored measurements.

Token counts are from a tokenizer that counts words. Other numbers a test writes into the workspace
as if they had been measured, or has them asked of a server of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pipeline.dedupe.minhash import MinHash
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.ingest.stage import SourceSettings, count_ingest, identify_sources, ingest_sources
from pipeline.measuring.catalogue import VIEW_COLUMNS, MeasureSettings
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings, score_examples, score_key
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import Chosen, select_examples
from storage.conversations import Turns
from storage.database import open_workspace, read_workspace
from storage.examples import read_examples, read_pool
from storage.measurements import MeasureKey, add_measure, commit_shards
from storage.runs import start_run
from storage.views import declare_measures
from storage.workspace import Workspace
from tests.empty_workspace import lay_out

LONGEST = 40
"""Words of prompt and response that the imagined trainer reads."""


def start(
    directory: Path,
    files: Sequence[Path],
    seed: int = 0,
    run_id: str = "run",
    turns: Turns = "all",
) -> tuple[RunContext, list[str]]:
    """Ingest files into a workspace; return the run and its pool."""
    workspace = Workspace(directory)
    lay_out(workspace)
    settings = [SourceSettings(path=str(file), turns=turns) for file in files]
    sources = identify_sources(workspace, settings)
    ids = sorted(source.source_id for source in sources)
    run = RunContext(workspace, run_id, seed, ids, {}, {})
    with open_workspace(workspace) as con:
        declare_measures(con, VIEW_COLUMNS)
        start_run(con, run.run_id, {"name": "test", "seed": seed}, "code", {}, ids)
    ingest_sources(workspace, sources)
    count_ingest(workspace, run.run_id, ids)
    with read_workspace(workspace) as con:
        return run, read_pool(con, ids)


def store_measurement(
    run: RunContext,
    measure: str,
    ids: Sequence[str],
    columns: Mapping[str, pa.Array],
    settings: Mapping[str, object] | None = None,
) -> RunContext:
    """Write numbers into the workspace as if a model had been asked; "state" is one of them."""
    key = MeasureKey(measure, "test", "test", "", {"version": 1, **(settings or {})})
    path = f"{measure}/{key.measure_key}/test.parquet"
    n = len(ids)
    base = {"example_id": list(ids), "measure_key": [key.measure_key] * n, "detail": [""] * n}
    run.workspace.measurements.write(path, pa.table({**base, **columns}))
    with open_workspace(run.workspace) as con:
        add_measure(con, key)
        con.execute("delete from shards where path = ?", [path])  # of an earlier call
        commit_shards(con, run.workspace, key, [(path, 0.0)])
    return replace(run, measures={**run.measures, measure: key})


def measure(
    run: RunContext, settings: MeasureSettings, pool: Sequence[str]
) -> tuple[RunContext, dict[str, int]]:
    """Ask for all but token counts; the run that knows the measures, and rows asked for each."""
    jobs = plan_measures(run.workspace, settings, pool, run.seed, run.target_ids)
    del jobs["token_counts"]
    asked = {n: measure_here(run.workspace, w.measure, w.ids) for n, w in jobs.items()}
    keys = {name: job.measure.key() for name, job in jobs.items()}
    return replace(run, measures={**run.measures, **keys}), asked


def count_words(run: RunContext, pool: Sequence[str]) -> RunContext:
    """Token counts from a tokenizer of words; what is longer than LONGEST is truncated."""
    with read_workspace(run.workspace) as con:
        examples = read_examples(con, pool)
    prompts = [len(example.prompt.split()) for example in examples]
    responses = [len(example.response.split()) for example in examples]
    states = [
        "not_applicable"
        if example.response_at is None
        else "ok"
        if prompt + response <= LONGEST
        else "truncated"
        for example, prompt, response in zip(examples, prompts, responses, strict=True)
    ]
    ids = [example.example_id for example in examples]
    columns = {
        "state": pa.array(states),
        "prompt_tokens": pa.array(prompts, pa.int64()),
        "response_tokens": pa.array(responses, pa.int64()),
    }
    return store_measurement(run, "token_counts", ids, columns)


def score(run: RunContext, settings: ScoreSettings, pool: Sequence[str]) -> RunContext:
    """Score the pool; return the run that knows the score."""
    score_examples(run.workspace, settings, run.measures, pool, run.targets)
    keys = {**run.scores, settings.label: score_key(settings, run.measures, run.targets)}
    return replace(run, scores=keys)


def dedupe_and_select(
    run: RunContext, pool: Sequence[str], dedupe: Sequence[MinHash], select: SelectSettings
) -> Chosen:
    """The last two stages that decide about rows."""
    return select_examples(run, select, deduplicate_examples(run, dedupe, pool))
