"""Targets are known to the run, measured, compared with, and never a row of the pool."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.stage import plan_measures
from pipeline.reporting.changes import changes_markdown, compare_runs
from pipeline.run_context import RunContext
from pipeline.scoring import stage
from pipeline.scoring.stage import (
    ScoreSettings,
    UnmeasuredTargetsError,
    score_examples,
    score_key,
    unmeasured_targets,
)
from pipeline.scoring.targets import NO_TARGETS, Targets, describe_targets, read_targets
from pipeline.selection.run_steps import SelectSettings
from scorers.got_d import score_got_d
from storage.database import open_workspace, read_workspace
from storage.explain import read_explanation
from storage.measurements import MeasureKey
from storage.runs import read_counts, write_run_targets
from storage.scores import read_scores
from storage.selections import read_run_selections, read_selection
from storage.workspace import Workspace
from tests.stage_runner import count_words, dedupe_and_select, start, store_measurement

NAN = np.nan

GOT_D = ScoreSettings(scorer="got_d")


def write(path: Path, words: Sequence[str], *others: str) -> Path:
    rows = [json.dumps({"prompt": word, "completion": f"{word} said"}) for word in words]
    path.write_text("\n".join([*rows, *others]) + "\n")
    return path


def start_with(folder: Path, run_id: str = "run") -> tuple[RunContext, list[str]]:
    """A pool of four, and targets in two files of which one row is in the pool as well."""
    pool = write(folder / "pool.jsonl", ["a", "b", "c", "d"])
    wanted = [
        write(folder / "first.jsonl", ["d", "x", "y"], "not JSON"),
        write(folder / "second.jsonl", ["x", "z"]),
    ]
    run, ids = start(folder / "w", [pool], run_id=run_id)
    settings = [SourceSettings(path=str(path)) for path in wanted]
    sources = identify_sources(run.workspace, settings)
    ingest_sources(run.workspace, sources)
    source_ids = sorted(source.source_id for source in sources)
    with open_workspace(run.workspace) as con:
        write_run_targets(con, run.run_id, source_ids)
    targets = read_targets(run.workspace, source_ids)
    return replace(run, target_source_ids=source_ids, targets=targets), ids


def prompts(run: RunContext, ids: Sequence[str]) -> list[str]:
    with read_workspace(run.workspace) as con:
        found = dict(con.execute("select example_id, prompt from examples").fetchall())
    return sorted(found[example_id] for example_id in ids)


def embed(run: RunContext, ids: Sequence[str], unknown: Sequence[str] = ()) -> RunContext:
    """Vectors that follow from the ids alone."""
    vectors = [np.random.default_rng(int(i[:8], 16)).normal(size=3).tolist() for i in ids]
    states = ["failed" if example_id in unknown else "ok" for example_id in ids]
    rows = [v if state == "ok" else None for v, state in zip(vectors, states, strict=True)]
    columns = {"state": pa.array(states), "embedding": pa.array(rows, pa.list_(pa.float32()))}
    return store_measurement(run, "embeddings", ids, columns)


def test_targets_are_examples_and_not_in_the_pool(tmp_path: Path) -> None:
    run, pool = start_with(tmp_path)
    assert prompts(run, pool) == ["a", "b", "c", "d"]
    assert prompts(run, run.target_ids) == ["d", "x", "y", "z"]
    assert (run.targets.rows, run.targets.quarantined, len(run.targets.pairs)) == (6, 1, 5)
    assert describe_targets(run.workspace, run.targets, run.source_ids) == [
        "targets: 4 examples, 1 more in quarantine",
        "targets: 1 of them are in the pool too and are scored like any row: if they are chosen, "
        "a model trained on the choice must not be tested on them",
    ]
    assert describe_targets(run.workspace, NO_TARGETS, run.source_ids) == []


@pytest.mark.slow
def test_targets_are_embedded_with_the_pool_and_asked_nothing_else(tmp_path: Path) -> None:
    run, pool = start_with(tmp_path)
    settings = MeasureSettings.model_validate(
        {"tokens": {"model": "m"}, "embeddings": [{"of": "both"}], "ratings": [{"model": "m"}]}
    )
    jobs = plan_measures(run.workspace, settings, pool, 0, run.target_ids)
    assert jobs["embeddings_both"].ids == sorted({*pool, *run.target_ids})
    assert jobs["embeddings_both"].note == "; 3 of them are targets only"
    assert jobs["token_counts"].ids == jobs["ratings_quality"].ids == pool
    assert jobs["embeddings_both"].pool == 7, "this is no part of anything"
    alone = plan_measures(run.workspace, settings, pool, 0)
    assert (alone["embeddings_both"].ids, alone["embeddings_both"].note) == (pool, "")


@pytest.mark.slow
def test_a_score_compares_the_pool_with_the_targets(tmp_path: Path) -> None:
    run, pool = start_with(tmp_path)
    everything = sorted({*pool, *run.target_ids})
    run = embed(run, everything, unknown=[pool[1]])
    states = score_examples(run.workspace, GOT_D, run.measures, pool, run.targets)
    assert states == {"failed": 1, "ok": 3}
    key = score_key(GOT_D, run.measures, run.targets)
    with read_workspace(run.workspace) as con:
        values, _ = read_scores(con, key, everything)
        targets_only = [i for i in everything if i not in pool]
        assert set(read_scores(con, key, targets_only)[1]) == {"not_measured"}
    vectors = {
        i: np.random.default_rng(int(i[:8], 16)).normal(size=3).astype(np.float32)
        for i in everything
    }
    asked = [i for i in pool if i != pool[1]]
    reached = [i for i in run.target_ids if i != pool[1]]
    expected = score_got_d(
        np.array([vectors[i] for i in asked], dtype=float),
        np.array([vectors[i] for i in reached], dtype=float),
    )
    found = dict(zip(everything, values.tolist(), strict=True))
    np.testing.assert_array_equal([found[i] for i in asked], expected)


@pytest.mark.slow
def test_other_targets_make_another_score(tmp_path: Path) -> None:
    run, pool = start_with(tmp_path)
    run = embed(run, sorted({*pool, *run.target_ids}))
    fewer = replace(run.targets, pairs=run.targets.pairs[:-1])
    words = ScoreSettings(scorer="response_length")
    run = count_words(run, pool)
    assert score_key(GOT_D, run.measures, run.targets) != score_key(GOT_D, run.measures, fewer)
    assert score_key(words, run.measures, run.targets) == score_key(words, run.measures)
    moved = replace(run.targets, pairs=[(i, "elsewhere") for i in run.target_ids])
    assert score_key(GOT_D, run.measures, run.targets) == score_key(GOT_D, run.measures, moved)
    assert run.targets.key(by_source=True) != moved.key(by_source=True)


def test_targets_without_a_measurement_are_told(tmp_path: Path) -> None:
    run, pool = start_with(tmp_path)
    some = embed(run, sorted({*pool, *run.target_ids}), unknown=run.target_ids[:2])
    said = unmeasured_targets(some.workspace, GOT_D, some.measures, some.targets)
    assert said == "; 2 of the 4 targets have no measurement"
    words = ScoreSettings(scorer="response_length")
    assert unmeasured_targets(some.workspace, words, some.measures, some.targets) == ""
    for targets in (NO_TARGETS, replace(run.targets, pairs=[(run.target_ids[0], "s")])):
        with pytest.raises(UnmeasuredTargetsError, match=r"none of the . targets has a measure"):
            score_examples(some.workspace, GOT_D, some.measures, pool, targets)


def choose(folder: Path, run_id: str) -> RunContext:
    run, pool = start_with(folder, run_id)
    run = count_words(embed(run, sorted({*pool, *run.target_ids})), pool)
    score_examples(run.workspace, GOT_D, run.measures, pool, run.targets)
    run = replace(run, scores={"got_d": score_key(GOT_D, run.measures, run.targets)})
    top = {"method": "top_k", "score": "got_d", "budget": {"rows": 9}}
    select = SelectSettings.model_validate({"held_out": 0, "steps": [top]})
    dedupe_and_select(run, pool, [], select)
    return run


@pytest.mark.slow
def test_no_target_is_chosen_or_decided_about_and_the_books_balance(tmp_path: Path) -> None:
    run = choose(tmp_path, "run")
    with read_workspace(run.workspace) as con:
        chosen = read_selection(con, read_run_selections(con, "run")["choice"].selection_id)[0]
        counts = read_counts(con, "run")
        decided = con.execute("select distinct example_id from decisions").fetchall()
        story = read_explanation(
            con, next(i for i, _ in run.targets.pairs if i not in chosen), None
        )
    assert prompts(run, chosen) == ["a", "b", "c", "d"] == prompts(run, [i for (i,) in decided])
    assert {count.rows_in for count in counts} == {4}
    assert story["sources"] and story["measurements"] and not story["decisions"]


@pytest.mark.slow
def test_other_targets_are_a_difference_of_two_runs(tmp_path: Path) -> None:
    choose(tmp_path, "one")
    first = write(tmp_path / "first.jsonl", ["d", "x", "y", "new"])
    write(tmp_path / "pool.jsonl", ["a", "b", "c", "d"])
    run, _ = start(tmp_path / "w", [tmp_path / "pool.jsonl"], run_id="two")
    sources = identify_sources(run.workspace, [SourceSettings(path=str(first))])
    ingest_sources(run.workspace, sources)
    with open_workspace(run.workspace) as con:
        write_run_targets(con, "two", [source.source_id for source in sources])
    with read_workspace(run.workspace) as con:
        changes = compare_runs(con, "one", "two")
    assert (changes.pool.new, changes.pool.retired, changes.pool.stayed) == (0, 0, 4)
    page = changes_markdown(changes)
    assert "| ../first.jsonl | edited targets | 4 | 0 | 0 |" in page
    assert "| ../second.jsonl | gone targets | 2 | 0 | 0 |" in page


def test_the_key_of_targets_is_a_hash_of_16_digits() -> None:
    one = Targets([("a", "s"), ("a", "t"), ("b", "s")])
    other = Targets([("a", "s"), ("b", "t")])
    # Stored scores are found by it: sha256 of '["a","b"]'.
    assert one.key(by_source=False) == "0473ef2dc0d324ab" == other.key(by_source=False)
    assert one.key(by_source=True) != other.key(by_source=True)


def test_a_target_of_two_sources_counts_in_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """b could not be measured; a stands in both sources, and c in the second."""
    targets = Targets([("a", "s2"), ("a", "s9"), ("b", "s2"), ("c", "s9")])
    gradients = np.array([[1.0, 1.0], [NAN, NAN], [3.0, 3.0]])

    def read(*_: object) -> tuple[list[str], dict[str, np.ndarray]]:
        return ["ok", "failed", "ok"], {"gradient": gradients}

    monkeypatch.setattr(stage, "read_measurements", read)
    key = MeasureKey("gradients", "m", "f", "t", {})
    less = ScoreSettings(scorer="less")
    with open_workspace(Workspace(tmp_path / "w")) as con:
        columns = stage.read_target_columns(con, less, {"gradients": key}, targets)
    assert [column.tolist() for column in columns] == [[[1, 1], [1, 1], [3, 3]], [0, 1, 1]]
