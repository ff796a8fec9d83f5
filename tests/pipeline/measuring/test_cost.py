"""Plans: what is tried is like what is missing, and its time is carried over by tokens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.measuring import cost as plan
from pipeline.measuring.cost import PLACES, choose_tried, plan_measure, try_out
from pipeline.measuring.measure import ExampleInputs, MeasureJob
from pipeline.measuring.measures.losses import Losses, LossSettings
from pipeline.measuring.shards import ShardPlan, cut_shards
from pipeline.settings import Settings
from scorers.arrays import Ints
from storage.database import read_workspace
from storage.measurements import MeasureKey
from storage.workspace import Workspace
from tests.stage_runner import count_words, start

SECONDS_PER_LETTER = 0.25
ASKED: list[int] = []


class CountLetters(Settings, ExampleInputs):
    """A measure that takes so long for each letter of a response, by the clock of these tests."""

    shard_tokens: ClassVar[int] = 50

    def key(self) -> MeasureKey:
        return MeasureKey("losses", "letters", "letters", "", {"version": 1})

    def measure(self, examples: pa.Table) -> pa.Table:
        ASKED.append(sum(len(row["response"].split()) for row in examples.to_pylist()))
        return examples


class ReadResponses(CountLetters):
    """The same, for a model that reads the responses alone."""

    def tokens_read(self, tokens: Ints, response_tokens: Ints) -> Ints:
        return response_tokens


def time_by_tokens(call: Callable[[], object]) -> float:
    """A clock that the number of words alone moves."""
    ASKED.clear()
    call()
    return sum(ASKED) * SECONDS_PER_LETTER


@given(st.integers(1, 500), st.integers(3, 60))
@example(4, 4)
def test_rows_are_tried_in_groups_from_three_places(missing: int, rows: int) -> None:
    tried = choose_tried(missing, rows)
    assert tried == sorted(set(tried)) and tried[0] >= 0 and tried[-1] < missing
    assert len(tried) <= max(rows, PLACES)
    if missing <= rows:
        assert tried == list(range(missing))
    elif missing >= 4 * rows:
        thirds = {place * 3 // missing for place in tried}
        assert thirds == {0, 1, 2} and len(tried) == rows // PLACES * PLACES


def test_a_run_of_neighbours_is_the_middle_of_each_third() -> None:
    # 60 rows: the middles of the thirds are 10, 30 and 50. 31: 5, 15 and 25. 5: 0, 2 and 4.
    assert choose_tried(60, 6) == [9, 10, 29, 30, 49, 50]
    assert choose_tried(31, 11) == [4, 5, 6, 14, 15, 16, 24, 25, 26]
    assert choose_tried(5, 4) == choose_tried(5, 2) == [0, 2, 4]
    assert choose_tried(4, 4) == [0, 1, 2, 3]


@pytest.mark.parametrize(("rows", "most", "tried"), [(10, 999, [3, 10]), (99, 12, [3, 12])])
def test_no_more_rows_are_tried_than_there_are_or_than_the_most(
    monkeypatch: pytest.MonkeyPatch, rows: int, most: int, tried: list[int]
) -> None:
    asked: list[int] = []

    def time_rows(_: object, examples: list[int]) -> float:
        asked.append(len(examples))
        return 0.5

    monkeypatch.setattr(plan, "time_rows", time_rows)
    monkeypatch.setattr(plan, "inputs_of", lambda *given: given[2])
    monkeypatch.setattr(plan, "MOST_ROWS", most)
    tokens = np.full(rows, 2)
    measure, workspace = CountLetters(), Workspace(Path("w"))
    ids, borders = pa.chunked_array([["e"] * rows]), np.array([0, rows])
    cut = ShardPlan(workspace, measure, measure.key(), ids, tokens, tokens, borders)
    found = try_out(workspace, cut, tokens, 3)
    assert asked == tried and len(found[0]) == tried[-1]
    assert found[1] == pytest.approx(0.5 * rows / tried[-1])


def test_time_is_carried_over_by_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": f"p{n:03d}", "completion": "w " * (n % 7 + 1)} for n in range(100)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    run = count_words(run, ids)
    sizes = run.measures["token_counts"]
    monkeypatch.setattr(plan, "time_of", time_by_tokens)
    job = MeasureJob(ReadResponses(), ids, len(ids))
    found = plan_measure(run.workspace, "letters", job, sizes, rows=12)
    words = sum(n % 7 + 1 for n in range(100))
    assert (found.rows, found.missing, found.tried) == (100, 100, 12)  # it took 3 s and more
    assert found.tokens == words
    assert found.seconds == pytest.approx(words * SECONDS_PER_LETTER)
    assert found.peak_bytes is not None and found.peak_bytes > 1 << 20
    with read_workspace(run.workspace) as con:  # what was tried is thrown away
        assert con.execute("select count(*) from losses").fetchall() == [(0,)]
    assert run.workspace.pending.names() == []


def test_what_takes_a_moment_is_tried_on_more_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": f"p{n:03d}", "completion": "w"} for n in range(100)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    run = count_words(run, ids)
    monkeypatch.setattr(plan, "time_of", time_by_tokens)
    job, sizes = MeasureJob(CountLetters(), ids, len(ids)), run.measures["token_counts"]
    # 3 rows take 0.75 s of these tests' clock, 12 take 3 s.
    assert plan_measure(run.workspace, "letters", job, sizes, rows=3).tried == 12


def test_losses_read_the_response_twice_and_the_prompt_once(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a b c", "completion": "d e"}')
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    run = count_words(run, ids)
    cut = cut_shards(run.workspace, CountLetters(), ids, run.measures["token_counts"])
    tokens = cut.tokens, cut.response_tokens
    assert CountLetters().tokens_read(*tokens).tolist() == [5]
    assert Losses(settings=LossSettings()).tokens_read(*tokens).tolist() == [7]


def test_what_is_stored_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a b c", "completion": "d e"}')
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    run = count_words(run, ids)

    class Counted(CountLetters):
        def key(self) -> MeasureKey:
            return run.measures["token_counts"]

    job = MeasureJob(Counted(), ids, 1)
    found = plan_measure(run.workspace, "counted", job, run.measures["token_counts"], rows=12)
    assert (found.missing, found.tokens, found.tried, found.seconds) == (0, 0, 0, None)
