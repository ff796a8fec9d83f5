"""Trajectories of a pool that changes: when the proxy is trained, and when it is only read."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import WhitespaceSplit

from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.measures.trajectories import (
    NewRowTrajectories,
    PoolTrajectories,
    TrajectorySettings,
    pool_trajectories,
)
from pipeline.measuring.shard_work import measure_shard
from pipeline.measuring.shards import cut_shards
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings, score_examples
from pipeline.settings import Subset
from scorers.measures.models import devices
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.training import trajectories
from scorers.measures.training.proxy_training import ProxyTrainer
from storage.database import read_workspace
from storage.workspace import Workspace
from tests.stage_runner import measure, start
from tests.tiny_models import VOCABULARY, save_tiny_llama

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # nearly each one trains

ROWS = 20
"""In the pool that is trained on first: with 0.1, two rows more are read and three train."""


class Killed(Exception):
    pass


@pytest.fixture(autouse=True, scope="module")
def float32() -> Iterator[None]:
    """On every processor, so that numbers can be compared to the fifth digit."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(devices, "cpu_has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer reads numbers apart."""
    path = save_tiny_llama(tmp_path_factory.mktemp("models") / "proxy")
    words = Tokenizer.from_file(str(path / "tokenizer.json"))
    words.pre_tokenizer = WhitespaceSplit()
    words.save(str(path / "tokenizer.json"))
    return path


def settings_of(proxy: Path, **changes: Any) -> MeasureSettings:  # noqa: ANN401 - a test's shorthand
    values = {"epochs": 1, "checkpoints": 2, "batch_rows": 8, "learning_rate": 3e-3, **changes}
    return MeasureSettings(
        trajectories=TrajectorySettings(proxy=str(proxy), template="question_answer", **values)
    )


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each training learnt from, in the order they were started."""
    started: list[int] = []

    def train(model: Any, rows: Sequence[Any], *others: Any) -> ProxyTrainer:  # noqa: ANN401
        started.append(len(rows))
        return ProxyTrainer(model, rows, *others)

    monkeypatch.setattr(trajectories, "ProxyTrainer", train)
    return started


def row(number: int, length: int = 4) -> str:
    numbers = [str((7 * number + at) % VOCABULARY) for at in range(3 + length)]
    return json.dumps({"prompt": " ".join(numbers[:3]), "completion": " ".join(numbers[3:])})


def write_rows(folder: Path, numbers: Sequence[int]) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(row(number) for number in numbers))
    return file


def run_on(
    folder: Path, settings: MeasureSettings, numbers: Sequence[int]
) -> tuple[RunContext, list[str]]:
    """Measure the rows with these numbers, as a run with one source does."""
    run, pool = start(folder / "w", [write_rows(folder, numbers)])
    return measure(run, settings, pool)[0], pool


def stored(run: RunContext) -> dict[str, tuple[Any, ...]]:
    """What the run measured: example_id → state, steps, trajectory, trained."""
    query = "select example_id, state, steps, trajectory, trained from trajectories where "
    query += f"measure_key = '{run.measures['trajectories'].measure_key}' order by all"
    with read_workspace(run.workspace) as con:
        found = con.execute(query).fetchall()
    assert len({each[0] for each in found}) == len(found)
    return {each[0]: each[1:] for each in found}


def trained(run: RunContext) -> list[bool]:
    return sorted(each[3] for each in stored(run).values())


def note_of(workspace: Workspace, settings: MeasureSettings, pool: Sequence[str]) -> str:
    return plan_measures(workspace, settings, pool, seed=0)["trajectories"].note


@pytest.fixture(scope="module")
def trained_once(
    tmp_path_factory: pytest.TempPathFactory, proxy: Path
) -> tuple[RunContext, list[str]]:
    return run_on(tmp_path_factory.mktemp("first"), settings_of(proxy), range(ROWS))


@pytest.fixture
def first(
    trained_once: tuple[RunContext, list[str]], tmp_path: Path
) -> tuple[RunContext, list[str]]:
    """A workspace in tmp_path whose proxy learnt ROWS rows."""
    run, pool = trained_once
    shutil.copytree(run.workspace.directory, tmp_path / "w")
    return replace(run, workspace=Workspace(tmp_path / "w")), pool


def test_a_few_new_rows_are_read_and_train_nothing(
    first: tuple[RunContext, list[str]], proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    before = stored(first[0])
    assert trained(first[0]) == [True] * ROWS
    files = {path: path.read_bytes() for path in tmp_path.rglob("trajectories/*/*.parquet")}
    assert len(files) == 1
    settings = settings_of(proxy)
    run, pool = start(tmp_path / "w", [write_rows(tmp_path, range(ROWS + 2))])
    note = note_of(run.workspace, settings, pool)
    assert note == "; read with stored checkpoints and not trained on: 2"
    run, asked = measure(run, settings, pool)
    assert trainings == [] and asked == {"trajectories": 2}
    after = stored(run)
    assert {each: after[each] for each in before} == before
    assert all(path.read_bytes() == content for path, content in files.items())
    new = [after[each] for each in sorted(set(after) - set(before))]
    steps = next(iter(before.values()))[1]
    assert [each[:2] for each in new] == [("ok", steps)] * 2
    assert [each[3] for each in new] == [False, False]
    assert all(0 < loss < 10 for each in new for loss in each[2])
    assert new[0][2] != new[1][2]


def test_new_rows_have_the_losses_of_the_kept_models(
    first: tuple[RunContext, list[str]], proxy: Path, tmp_path: Path
) -> None:
    run, pool = run_on(tmp_path, settings_of(proxy), range(ROWS + 1))
    (new,) = set(pool) - set(first[1])
    prompt, response = proxy_tokens(proxy, ROWS)
    for step, loss in zip(stored(run)[new][1], stored(run)[new][2], strict=True):
        key = run.measures["trajectories"].measure_key
        folder = run.workspace.models / "proxies" / key / f"model-{step:08d}"
        model = HuggingFaceLanguageModel.from_directory(folder, "float32", "cpu")
        (found,) = model.token_losses([prompt], [response])
        assert loss == pytest.approx(found.nll.mean(), abs=1e-5)


def proxy_tokens(proxy: Path, number: int) -> tuple[list[int], list[int]]:
    """A row as the question_answer template writes it, cut at its response."""
    model = HuggingFaceLanguageModel.from_directory(proxy, "float32", "cpu")
    found = json.loads(row(number))
    question = f"Question: {found['prompt']} \n Answer:"
    full = model.tokenizer(f"{question} {found['completion']}0")["input_ids"]
    start_at = len(model.tokenizer(question)["input_ids"])
    return full[:start_at], full[start_at:]


def test_a_second_run_of_the_grown_pool_asks_nothing(
    first: tuple[RunContext, list[str]], proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    settings = settings_of(proxy)
    run, pool = run_on(tmp_path, settings, range(ROWS + 2))
    assert note_of(run.workspace, settings, pool).endswith(": 2")
    assert measure(run, settings, pool)[1] == {"trajectories": 0} and trainings == []


def test_a_plan_counts_a_reading_at_each_checkpoint_and_no_training(
    first: tuple[RunContext, list[str]], proxy: Path, tmp_path: Path
) -> None:
    settings = settings_of(proxy)
    run, pool = start(tmp_path / "w", [write_rows(tmp_path, range(ROWS + 2))])
    job = plan_measures(run.workspace, settings, pool, run.seed)["trajectories"]
    cut = cut_shards(run.workspace, job.measure, job.ids)
    assert len(cut.tokens) == 2
    assert (
        job.measure.tokens_read(cut.tokens, cut.response_tokens).tolist()
        == (2 * cut.tokens).tolist()
    )


@pytest.mark.parametrize(
    ("share", "new", "trains"),
    [
        (0.1, 3, True),
        (0.0, 1, True),
        (0.2, 5, False),
        (0.2, 6, True),
        (1.0, 40, False),
    ],
)
def test_too_many_new_rows_train_the_proxy_again(
    share: float,
    new: int,
    trains: bool,
    first: tuple[RunContext, list[str]],
    proxy: Path,
    tmp_path: Path,
    trainings: list[int],
) -> None:
    settings = settings_of(proxy, retrain_above=share)
    run, _ = run_on(tmp_path, settings, range(ROWS + new))
    assert trainings == [ROWS + new] * trains
    assert trained(run) == ([True] * (ROWS + new) if trains else [False] * new + [True] * ROWS)
    same = run.measures["trajectories"] == first[0].measures["trajectories"]
    assert same is not trains


def test_rows_that_were_only_read_stay_unseen(
    first: tuple[RunContext, list[str]], proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    run_on(tmp_path, settings_of(proxy), range(ROWS + 2))
    run, _ = run_on(tmp_path, settings_of(proxy), range(ROWS + 4))  # 4 of 24 are above 0.1
    assert trainings == [ROWS + 4] and trained(run) == [True] * (ROWS + 4)


def test_rows_that_nothing_could_be_learnt_from_are_not_unseen(
    first: tuple[RunContext, list[str]], proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    settings = settings_of(proxy, retrain_above=0.2)
    file = write_rows(tmp_path, range(ROWS + 1))
    lines = [file.read_text(), row(50, 600), row(60, 600), json.dumps({"prompt": "1"})]
    file.write_text("\n".join(lines))
    run, pool = start(tmp_path / "w", [file])
    run, _ = measure(run, settings, pool)
    states = [each for each in stored(run).values() if each[0] != "ok"]
    assert sorted(each[0] for each in states) == ["not_applicable", "truncated", "truncated"]
    assert all(each[1:] == (None, None, None) for each in states)
    assert note_of(run.workspace, settings, pool).endswith(": 1") and trainings == []


def test_fewer_rows_train_nothing(
    first: tuple[RunContext, list[str]], proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    run, pool = run_on(tmp_path, settings_of(proxy, retrain_above=0), range(5, ROWS))
    assert trainings == [] and set(pool) < set(stored(run))


def test_a_larger_part_is_read_too(tmp_path: Path, proxy: Path, trainings: list[int]) -> None:
    run_on(tmp_path, settings_of(proxy, part=Subset(rows=15)), range(ROWS))
    run, _ = run_on(tmp_path, settings_of(proxy, part=Subset(rows=16)), range(ROWS))
    assert trainings == [15] and trained(run) == [False] + [True] * 15


@pytest.mark.parametrize("what", ["one", "all", "none were kept"])
def test_without_its_checkpoints_a_proxy_is_trained_again(
    what: str, proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    settings = settings_of(proxy, keep_checkpoints=what != "none were kept")
    run, pool = run_on(tmp_path, settings, range(ROWS))
    key = run.measures["trajectories"].measure_key
    kept = sorted((run.workspace.models / "proxies" / key).glob("model-*"))
    assert len(kept) == (0 if what == "none were kept" else 2)
    for folder in kept[:1] if what == "one" else kept:
        shutil.rmtree(folder)
    same, asked = measure(run, settings, pool)  # nothing is new, so nothing is needed
    assert same.measures == run.measures and asked == {"trajectories": 0}
    grown, pool = start(tmp_path / "w", [write_rows(tmp_path, range(ROWS + 1))])
    note = note_of(run.workspace, settings, pool)
    assert note == "; trained again, for the checkpoints of an earlier training are gone"
    assert trained(measure(grown, settings, pool)[0]) == [True] * (ROWS + 1)
    assert trainings == [ROWS, ROWS + 1]


def test_the_training_that_saw_most_is_read_and_among_equals_that_of_this_pool(
    proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    never, always = settings_of(proxy, retrain_above=1), settings_of(proxy, retrain_above=0)
    numbers = {"small": range(10), "large": range(ROWS), "far": range(30, 45)}
    keys = {
        name: run_on(tmp_path, always, each)[0].measures["trajectories"]
        for name, each in numbers.items()
    }
    assert trainings == [10, ROWS, 15]
    for name, each in numbers.items():
        assert run_on(tmp_path, never, each)[0].measures["trajectories"] == keys[name]
    chosen = {
        "far": [*range(35, 45), *range(5)],
        "large": [*range(4, 14), *range(30, 36)],
    }
    for name, mixed in chosen.items():
        assert run_on(tmp_path, never, mixed)[0].measures["trajectories"] == keys[name]
    both = run_on(tmp_path, never, range(9))[0].measures["trajectories"]  # small and large saw it
    assert both == min((keys["small"], keys["large"]), key=lambda key: key.measure_key)
    assert trainings == [10, ROWS, 15]


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 2}, {"max_tokens": 64}, {"layers": 1}])
def test_a_training_of_another_kind_is_not_read(
    change: dict[str, int],
    first: tuple[RunContext, list[str]],
    proxy: Path,
    tmp_path: Path,
    trainings: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # for the copy with one layer
    run_on(tmp_path, settings_of(proxy, retrain_above=1, **change), range(ROWS + 1))
    assert trainings == [ROWS + 1]


def test_a_training_that_was_not_finished_is_gone_on_with(
    proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    settings = settings_of(proxy, retrain_above=1)
    run, pool = start(tmp_path / "w", [write_rows(tmp_path, range(ROWS))])
    assert settings.trajectories
    planned = pool_trajectories(run.workspace, settings.trajectories, pool)
    (shard,) = cut_shards(run.workspace, planned, pool)
    measure_shard(shard)  # killed before the numbers were committed
    again = pool_trajectories(run.workspace, settings.trajectories, pool)
    assert isinstance(again, PoolTrajectories) and again == planned
    assert trained(measure(run, settings, pool)[0]) == [True] * ROWS
    assert trainings == [ROWS]
    later = pool_trajectories(run.workspace, settings.trajectories, pool)
    assert isinstance(later, NewRowTrajectories) and later.key() == planned.key()


def test_a_kill_between_the_checkpoints_of_new_rows_leaves_nothing_half(
    first: tuple[RunContext, list[str]],
    proxy: Path,
    tmp_path: Path,
    trainings: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of(proxy)
    sound, calls = HuggingFaceLanguageModel.token_losses, []

    def die_at_the_second(self: HuggingFaceLanguageModel, *texts: Any) -> Any:  # noqa: ANN401
        calls.append(len(texts[0]))
        if len(calls) == 2:
            raise Killed
        return sound(self, *texts)

    run, pool = start(tmp_path / "w", [write_rows(tmp_path, range(ROWS + 2))])
    with monkeypatch.context() as patched:
        patched.setattr(HuggingFaceLanguageModel, "token_losses", die_at_the_second)
        with pytest.raises(Killed):
            measure(run, settings, pool)
    assert calls == [2, 2]
    assert stored(first[0]).keys() == set(first[1])
    assert len(run.workspace.measurements.below("trajectories").names()) == 1
    done = stored(measure(run, settings, pool)[0])
    assert done.keys() == set(pool) and trainings == []
    (tmp_path / "other").mkdir()
    run_on(tmp_path / "other", settings, range(ROWS))
    undisturbed, _ = run_on(tmp_path / "other", settings, range(ROWS + 2))
    assert stored(undisturbed) == done


def test_a_shard_of_new_rows_that_was_not_committed_is_found(
    first: tuple[RunContext, list[str]],
    proxy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of(proxy)
    run, pool = start(tmp_path / "w", [write_rows(tmp_path, range(ROWS + 2))])
    job = plan_measures(run.workspace, settings, pool, run.seed)["trajectories"]
    for shard in cut_shards(run.workspace, job.measure, job.ids):
        measure_shard(shard)

    def fail(*anything: Any) -> Any:  # noqa: ANN401
        raise AssertionError("a row was read a second time")

    monkeypatch.setattr(HuggingFaceLanguageModel, "token_losses", fail)
    assert trained(measure(run, settings, pool)[0]) == [False] * 2 + [True] * ROWS


def test_new_rows_join_the_clusters(
    first: tuple[RunContext, list[str]], proxy: Path, tmp_path: Path, trainings: list[int]
) -> None:
    run, pool = run_on(tmp_path, settings_of(proxy), range(ROWS + 2))
    settings = ScoreSettings(scorer="s2l_cluster", settings={"clusters": 3})
    states = score_examples(run.workspace, settings, run.measures, pool)
    assert states == {"ok": ROWS + 2} and trainings == []


def test_what_changes_no_number_is_not_part_of_the_key(proxy: Path, tmp_path: Path) -> None:
    base = settings_of(proxy).trajectories
    other = settings_of(proxy, retrain_above=0.5, keep_checkpoints=False).trajectories
    assert base and other
    keys = {
        PoolTrajectories(settings=each, pool="p", directory=tmp_path).key().measure_key
        for each in (base, other)
    }
    assert len(keys) == 1
