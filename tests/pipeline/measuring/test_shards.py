"""Shards: cut the same way every time, done once, committed only when whole."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.measuring import shards
from pipeline.measuring.measure import ExampleInputs, Measure
from pipeline.measuring.shard_work import MeasuredShard, measure_shard
from pipeline.measuring.shards import commit_measured, cut_by_size, cut_shards, measure_here
from pipeline.settings import Settings
from storage.database import Connection, read_workspace
from storage.measurements import MeasureKey
from storage.workspace import Workspace
from tests.stage_runner import start

ASKED: list[str] = []


class CountLetters(Settings, ExampleInputs):
    """A measure that needs no model, and remembers what it was asked."""

    whole_pool: ClassVar[bool] = False

    def key(self) -> MeasureKey:
        return MeasureKey("losses", "letters", "letters", "", {"version": 1})

    def measure(self, examples: pa.Table) -> pa.Table:
        rows = examples.to_pylist()
        ASKED.extend(row["example_id"] for row in rows)
        n = len(rows)
        return pa.table(
            {
                "example_id": [row["example_id"] for row in rows],
                "state": ["ok"] * n,
                "detail": [""] * n,
                "mean_nll": [float(len(row["response"])) for row in rows],
            }
        )


class Forgetful(CountLetters):
    """A measure that leaves a row out."""

    def measure(self, examples: pa.Table) -> pa.Table:
        return super().measure(examples).slice(1)


class Together(CountLetters):
    """A measure that must see all of them at once."""

    whole_pool: ClassVar[bool] = True


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, list[str]]:
    lines = [json.dumps({"prompt": f"q{n}", "completion": "a" * n}) for n in range(1, 31)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    monkeypatch.setattr(CountLetters, "shard_tokens", 25)
    ASKED.clear()
    return run.workspace, ids


do = measure_here


def stored(workspace: Workspace) -> list[tuple[str, float]]:
    with read_workspace(workspace) as con:
        return con.execute("select example_id, mean_nll from losses order by all").fetchall()


def test_every_row_is_asked_once(pool: tuple[Workspace, list[str]]) -> None:
    workspace, ids = pool
    for _ in range(2):
        do(workspace, CountLetters(), ids)
    assert sorted(ASKED) == ids
    assert [example_id for example_id, _ in stored(workspace)] == ids
    assert workspace.pending.names() == []


def test_the_order_of_the_pool_makes_no_other_shards(
    pool: tuple[Workspace, list[str]],
) -> None:
    workspace, ids = pool
    names = [shard.output for shard in cut_shards(workspace, CountLetters(), ids)]
    assert len(names) > 3
    assert [shard.output for shard in cut_shards(workspace, CountLetters(), ids[::-1])] == names


def test_a_shard_finished_before_a_kill_is_not_asked_again(
    pool: tuple[Workspace, list[str]],
) -> None:
    workspace, ids = pool
    cut = list(cut_shards(workspace, CountLetters(), ids))
    for shard in cut[:3]:
        measure_shard(shard)
    commit_measured(workspace, CountLetters(), [measure_shard(cut[0])])
    done = list(ASKED)
    do(workspace, CountLetters(), ids)
    assert sorted(ASKED) == ids
    assert len(done) == sum(shard.rows for shard in cut[:3])


@pytest.mark.parametrize(
    ("seconds", "together"),
    [
        ([], []),
        ([0.0], [1]),
        ([3.0] * 7, [4, 3]),
        ([10.0, 1.0, 11.0, 9.0], [1, 2, 1]),
        ([0.0] * 50, [50]),
        ([9.0, 99.0, 0.0, 0.0], [2, 2]),
    ],
)
def test_quick_shards_are_committed_together(
    seconds: list[float], together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "COMMIT_SECONDS", 10.0)
    committed: list[Sequence[MeasuredShard]] = []
    finished = [MeasuredShard(f"{number}", each) for number, each in enumerate(seconds)]
    with shards.committing_together(committed.append) as commit:
        for shard in finished:
            commit(shard)
    assert [len(each) for each in committed] == together
    assert [shard for each in committed for shard in each] == finished


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_finished_before_an_error_is_committed(error: type[BaseException]) -> None:
    committed: list[MeasuredShard] = []
    with pytest.raises(error), shards.committing_together(committed.extend) as commit:
        commit(MeasuredShard("one", 0.0))
        commit(MeasuredShard("two", 0.0))
        raise error
    assert [shard.name for shard in committed] == ["one", "two"]


def test_the_database_is_opened_once_for_quick_shards(
    pool: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ids = pool
    calls: list[int] = []

    def counted(workspace: Workspace, measure: Measure, done: Sequence[MeasuredShard]) -> None:
        calls.append(len(done))
        commit_measured(workspace, measure, done)

    monkeypatch.setattr(shards, "commit_measured", counted)
    do(workspace, CountLetters(), ids)
    assert len(calls) == 1 and calls[0] > 3
    assert [example_id for example_id, _ in stored(workspace)] == ids


def test_one_row_more_asks_one_row(pool: tuple[Workspace, list[str]]) -> None:
    workspace, ids = pool
    do(workspace, CountLetters(), ids[1:])
    ASKED.clear()
    do(workspace, CountLetters(), ids)
    assert ids[:1] == ASKED


def test_where_nothing_is_missing_no_device_is_asked_for(
    pool: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask for one loads torch, which takes longer than all else of a night without news."""
    workspace, ids = pool
    asked: list[str] = []

    def resolve() -> str:
        asked.append("device")
        return "cpu"

    monkeypatch.setattr(shards, "resolve_device", resolve)
    assert measure_here(workspace, CountLetters(), ids) == len(ids) and asked
    asked.clear()
    assert measure_here(workspace, CountLetters(), ids) == 0 and not asked


def test_a_result_that_lacks_a_row_is_refused(pool: tuple[Workspace, list[str]]) -> None:
    workspace, ids = pool
    shard = next(iter(cut_shards(workspace, Forgetful(), ids)))
    with pytest.raises(ValueError, match="does not have the examples of its shard"):
        measure_shard(shard)
    assert not shard.done()


def test_a_whole_pool_is_one_shard(pool: tuple[Workspace, list[str]]) -> None:
    workspace, ids = pool
    (shard,) = cut_shards(workspace, Together(), ids)
    assert shard.rows == len(ids)
    commit_measured(workspace, Together(), [measure_shard(shard)])
    assert list(cut_shards(workspace, Together(), ids)) == []


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 80))
def test_pieces_are_as_long_as_they_can_be(sizes: list[int], most: int) -> None:
    borders = cut_by_size(np.array(sizes, dtype=np.int64), most).tolist()
    assert borders[0] == 0 and borders[-1] == len(sizes)
    for first, last in pairwise(borders):
        assert sum(sizes[first:last]) <= most or last == first + 1
        assert last == len(sizes) or sum(sizes[first : last + 1]) > most


def test_inputs_are_written_some_shards_ahead_and_not_all(
    pool: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ids = pool
    monkeypatch.setattr(shards, "INPUTS_AHEAD", 2)
    cut = iter(cut_shards(workspace, CountLetters(), ids))
    next(cut)
    assert len(workspace.pending.names()) == 2


def test_a_row_is_input_of_the_shard_that_it_was_cut_into(
    pool: tuple[Workspace, list[str]],
) -> None:
    workspace, ids = pool
    cut = cut_shards(workspace, CountLetters(), ids)
    inputs = [shard.pending.read(shard.input)["example_id"].to_pylist() for shard in cut]
    assert sorted(i for piece in inputs for i in piece) == ids
    assert all(piece == sorted(piece) for piece in inputs)
    assert [len(piece) for piece in inputs] == [shard.rows for shard in cut]


def test_the_inputs_of_long_rows_are_read_a_few_at_a_time(
    pool: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ids = pool
    read: list[int] = []
    inputs = CountLetters.inputs

    def count(self: CountLetters, con: Connection, ids: Sequence[str]) -> pa.Table:
        read.append(len(ids))
        return inputs(self, con, ids)

    monkeypatch.setattr(CountLetters, "inputs", count)
    plain = [shard.output for shard in cut_shards(workspace, CountLetters(), ids)]
    assert read == [30], "short rows: all together"
    for shard in cut_shards(workspace, CountLetters(), ids):
        workspace.pending.remove(shard.input)
    read.clear()
    monkeypatch.setattr(shards, "LONG_TOKENS", 5)
    monkeypatch.setattr(shards, "LONG_AHEAD", 40)
    assert [shard.output for shard in cut_shards(workspace, CountLetters(), ids)] == plain
    assert len(read) > 3 and sum(read) == 30
