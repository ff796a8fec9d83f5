"""Gradients of a pool that changes: when adapters are warmed up, and which rows are asked about."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import WhitespaceSplit

from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.measuring import warm_up
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.cost import plan_measure
from pipeline.measuring.measures.gradients import PoolGradients
from pipeline.measuring.shards import cut_shards
from pipeline.measuring.stage import plan_measures
from pipeline.measuring.warm_up import GradientSettings, WarmUp, find_warmup
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings, score_examples, score_key
from pipeline.scoring.targets import read_targets
from pipeline.upkeep.leftovers import RemovalOptions, remove_leftovers
from scorers.measures.models import devices
from scorers.measures.training.proxy_training import ProxyTrainer
from storage.database import open_workspace, read_workspace
from storage.measurements import read_measurements
from storage.retention import write_run_measures
from storage.scores import read_scores
from storage.workspace import Workspace
from tests.stage_runner import count_words, measure, start
from tests.tiny_models import VOCABULARY, save_tiny_llama

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # they train

LESS = ScoreSettings(scorer="less")
ROWS = 20


@pytest.fixture(autouse=True, scope="module")
def float32() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(devices, "cpu_has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer reads numbers apart."""
    path = save_tiny_llama(tmp_path_factory.mktemp("models") / "model")
    words = Tokenizer.from_file(str(path / "tokenizer.json"))
    words.pre_tokenizer = WhitespaceSplit()
    words.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps of warm-ups, as they are taken."""
    taken: list[int] = []
    sound = ProxyTrainer.step

    def step(self: ProxyTrainer) -> float:
        taken.append(self.steps_taken)
        return sound(self)

    monkeypatch.setattr(ProxyTrainer, "step", step)
    return taken


def settings_of(model: Path, **changes: Any) -> MeasureSettings:  # noqa: ANN401 - a test's shorthand
    values = {
        "epochs": 2,
        "warmup_share": 0.5,
        "batch_rows": 5,
        "learning_rate": 3e-3,
        "rank": 4,
        "alpha": 8,
        "dimension": 128,
        "max_tokens": 64,
        **changes,
    }
    block = GradientSettings(model=str(model), template="question_answer", **values)
    return MeasureSettings(gradients=block)


def text(number: int, length: int = 6) -> str:
    numbers = [str((7 * number + at) % VOCABULARY) for at in range(3 + length)]
    return json.dumps({"prompt": " ".join(numbers[:3]), "completion": " ".join(numbers[3:])})


def write(path: Path, numbers: Sequence[int], *others: str) -> Path:
    path.write_text("\n".join([*(text(number) for number in numbers), *others]) + "\n")
    return path


def begin(folder: Path, numbers: Sequence[int], *others: str) -> tuple[RunContext, list[str]]:
    """A pool, and targets of two files; row 3 is in both."""
    run, pool = start(folder / "w", [write(folder / "rows.jsonl", numbers, *others)])
    files = [write(folder / "one.jsonl", [3, 100]), write(folder / "two.jsonl", [101, 102, 103])]
    settings = [SourceSettings(path=str(file)) for file in files]
    sources = identify_sources(run.workspace, settings)
    ingest_sources(run.workspace, sources)
    targets = read_targets(run.workspace, [source.source_id for source in sources])
    return replace(run, targets=targets), pool


@pytest.fixture(scope="module")
def measured_once(
    tmp_path_factory: pytest.TempPathFactory, model: Path
) -> tuple[RunContext, list[str]]:
    folder = tmp_path_factory.mktemp("first")
    run, pool = begin(folder, range(ROWS), text(50, 90), json.dumps({"prompt": "1"}))
    run, asked = measure(run, settings_of(model), pool)
    assert asked == {"gradients": 22, "target_gradients": 5}
    return run, pool


@pytest.fixture
def first(
    measured_once: tuple[RunContext, list[str]], tmp_path: Path
) -> tuple[RunContext, list[str]]:
    run, pool = measured_once
    shutil.copytree(run.workspace.directory, tmp_path / "w")
    return replace(run, workspace=Workspace(tmp_path / "w")), pool


def vectors(run: RunContext, name: str, ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    with read_workspace(run.workspace) as con:
        states, columns = read_measurements(con, run.measures[name], ["gradient"], ids)
    return states, columns["gradient"]


def bytes_of(run: RunContext, pool: Sequence[str]) -> dict[str, bytes]:
    found = vectors(run, "gradients", pool)[1]
    return {i: vector.tobytes() for i, vector in zip(pool, found, strict=True)}


def warmups(run: RunContext) -> list[Path]:
    return sorted((run.workspace.models / "warmups").iterdir())


def test_pool_and_targets_are_measured_with_one_warm_up(
    first: tuple[RunContext, list[str]],
) -> None:
    run, pool = first
    (warmup,) = warmups(run)
    for name in ("gradients", "target_gradients"):
        assert run.measures[name].settings["warmup"] == warmup.name
    states, found = vectors(run, "gradients", pool)
    assert sorted(states) == ["not_applicable", *["ok"] * ROWS, "truncated"]
    assert found.shape == (22, 2, 128)
    ok = np.array([state == "ok" for state in states])
    np.testing.assert_allclose(np.linalg.norm(found[ok], axis=2), 1, atol=2e-3)
    assert np.isnan(found[~ok]).all()
    (shared,) = set(pool) & set(run.target_ids)
    update = found[pool.index(shared)]
    (gradient,) = vectors(run, "target_gradients", [shared])[1]
    assert 0.1 < float((update * gradient).sum(axis=1).mean()) < 0.95, "one is Adam's, one plain"


def scores_of(run: RunContext, pool: Sequence[str]) -> dict[str, float]:
    states = score_examples(run.workspace, LESS, run.measures, pool, run.targets)
    assert states["ok"] == len(pool) - 2
    with read_workspace(run.workspace) as con:
        key = score_key(LESS, run.measures, run.targets)
        values, _ = read_scores(con, key, pool)
    return dict(zip(pool, values.tolist(), strict=True))


def test_a_target_in_the_pool_comes_first_and_targets_of_other_sources_take_turns(
    first: tuple[RunContext, list[str]],
) -> None:
    run, pool = first
    (shared,) = set(pool) & set(run.target_ids)
    own = [pair for pair in run.targets.pairs if pair[0] == shared]
    scores = scores_of(replace(run, targets=replace(run.targets, pairs=own)), pool)
    known = {i: score for i, score in scores.items() if score == score}
    assert max(known, key=known.__getitem__) == shared
    assert all(-1 <= score <= 1 for score in known.values())
    both = scores_of(run, pool)
    apart = [
        scores_of(replace(run, targets=replace(run.targets, pairs=pairs)), pool)
        for source in sorted({source for _, source in run.targets.pairs})
        for pairs in [[pair for pair in run.targets.pairs if pair[1] == source]]
    ]
    for i in known:
        assert both[i] == pytest.approx(max(each[i] for each in apart))
    alike = replace(run.targets, pairs=[(i, "one source") for i in run.target_ids])
    mixed = scores_of(replace(run, targets=alike), pool)
    assert max(abs(mixed[i] - both[i]) for i in known) > 1e-3


def test_scores_do_not_depend_on_the_block_that_a_row_is_read_in(
    first: tuple[RunContext, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, pool = first
    whole = scores_of(run, pool)
    with open_workspace(run.workspace) as con:
        con.execute("delete from scores")
    monkeypatch.setattr("storage.measurements.BLOCK_ROWS", 3)
    assert str(scores_of(run, pool)) == str(whole)


def test_a_few_new_rows_warm_nothing_up(
    first: tuple[RunContext, list[str]], model: Path, tmp_path: Path, steps: list[int]
) -> None:
    before = bytes_of(*first)
    settings = settings_of(model, retrain_above=0.4)
    run, pool = begin(tmp_path, range(ROWS + 2), text(50, 90), json.dumps({"prompt": "1"}))
    run, asked = measure(run, settings, pool)
    assert steps == [] and asked == {"gradients": 2, "target_gradients": 0}
    assert run.measures["gradients"] == first[0].measures["gradients"]
    after = bytes_of(run, pool)
    assert {i: after[i] for i in before} == before
    again, asked = measure(run, settings, pool)
    assert asked == {"gradients": 0, "target_gradients": 0} and again.measures == run.measures


def test_a_stored_warm_up_serves_up_to_the_share_that_it_may_lack(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, pool = begin(tmp_path, range(ROWS))

    def found(part: list[str], retrain_above: float) -> WarmUp:
        settings = settings_of(model, retrain_above=retrain_above).gradients
        assert settings is not None
        monkeypatch.setattr(warm_up, "draw_part", lambda *_: part)
        return find_warmup(run.workspace, settings, pool)[0]

    stored = found(pool[:10], 0.0)
    assert stored.ids() == pool[:10]
    assert found(pool[2:12], 0.2) == stored, "2 of 10 are new to it"
    assert found(pool[2:12], 0.19) != stored


def test_another_pool_or_other_settings_warm_up_anew(
    first: tuple[RunContext, list[str]], model: Path, tmp_path: Path, steps: list[int]
) -> None:
    run, pool = begin(tmp_path, range(ROWS, 2 * ROWS))
    other, _ = measure(run, settings_of(model), pool)
    assert len(warmups(other)) == 2 and steps == [0, 1, 2, 3]
    assert other.measures["gradients"] != first[0].measures["gradients"]
    for change in ({"rank": 2}, {"seed": 1}):
        measure(run, settings_of(model, **change), pool)
    assert len(warmups(run)) == 4
    same, asked = measure(run, settings_of(model, adam="textbook"), pool)
    assert len(warmups(run)) == 4 and asked == {"gradients": ROWS, "target_gradients": 0}
    assert same.measures["target_gradients"] == other.measures["target_gradients"]


def test_checkpoints_that_are_gone_are_trained_again(
    first: tuple[RunContext, list[str]], model: Path, tmp_path: Path, steps: list[int]
) -> None:
    (warmup,) = warmups(first[0])
    weights = [f.read_bytes() for f in sorted(warmup.glob("checkpoint-*/weights*"))]
    for folder in warmup.glob("checkpoint-*"):
        shutil.rmtree(folder)
    run, pool = begin(tmp_path, range(ROWS + 1), text(50, 90), json.dumps({"prompt": "1"}))
    _, asked = measure(run, settings_of(model, retrain_above=0.4), pool)
    assert steps == [0, 1, 2, 3] and asked["gradients"] == 1
    assert [f.read_bytes() for f in sorted(warmup.glob("checkpoint-*/weights*"))] == weights


def test_a_killed_warm_up_goes_on(model: Path, tmp_path: Path, steps: list[int]) -> None:
    run, pool = begin(tmp_path, range(ROWS))

    def die(self: ProxyTrainer, folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ProxyTrainer, "save", die)
        with pytest.raises(KeyboardInterrupt):
            measure(run, settings_of(model), pool)
    assert steps == [0, 1]
    measure(run, settings_of(model), pool)
    assert steps == [0, 1, 0, 1, 2, 3] and len(warmups(run)) == 1


def test_what_a_run_and_a_plan_say(
    first: tuple[RunContext, list[str]], model: Path, tmp_path: Path, steps: list[int]
) -> None:
    settings = settings_of(model, retrain_above=1)
    run, pool = begin(tmp_path, range(10, 10 + ROWS))
    jobs = plan_measures(run.workspace, settings, pool, 0, run.target_ids)
    note = jobs["gradients"].note
    assert note.startswith("; by stored adapters, to which ") and note.endswith(
        "rows drawn now are new"
    )
    new = plan_measures(run.workspace, settings_of(model), pool, 0)
    assert new["gradients"].note == "; adapters warmed up on 10 rows" and len(new) == 2
    run = count_words(run, pool)
    sizes = run.measures["token_counts"]
    cut = cut_shards(run.workspace, new["gradients"].measure, pool, sizes)
    assert (
        cut.measure.tokens_read(cut.tokens, cut.response_tokens).tolist()
        == (2 * cut.tokens).tolist()
    )
    plan = plan_measure(run.workspace, "gradients", new["gradients"], sizes, rows=6)
    assert (plan.missing, plan.tried) == (ROWS, 6) and plan.seconds and plan.seconds > 0
    assert isinstance(cut.measure, PoolGradients)
    assert not (cut.measure.directory / "trained.json").exists(), "a plan trains nothing that stays"


def test_a_warm_up_goes_when_nobody_uses_its_gradients(
    first: tuple[RunContext, list[str]], model: Path
) -> None:
    run, _ = first
    (warmup,) = warmups(run)
    with open_workspace(run.workspace) as con:
        write_run_measures(con, run.run_id, run.measures)
        con.execute("update runs set finished_at = now()")
    remove_leftovers(run.workspace, RemovalOptions())
    remove_leftovers(run.workspace, RemovalOptions(unused_since=date(2000, 1, 1)))
    assert warmup.is_dir()
    with open_workspace(run.workspace) as con:
        con.execute("update run_measures set run_id = 'old' where name = 'gradients'")
        con.execute("insert into runs select 'old', * exclude (run_id) from runs")
        con.execute("update runs set started_at = '2000-01-01' where run_id = 'old'")
    remove_leftovers(run.workspace, RemovalOptions(unused_since=date(2020, 1, 1)))
    assert warmup.is_dir(), "the targets' gradients are of it too"
    with open_workspace(run.workspace) as con:
        con.execute("update run_measures set run_id = 'old'")
        con.execute("insert into run_measures values ('run', 'other', 'k')")
    remove_leftovers(run.workspace, RemovalOptions(unused_since=date(2020, 1, 1)))
    assert not warmup.exists()


def test_an_empty_list_of_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="name at least one layer"):
        GradientSettings(modules=())
