"""Candidates: each column stands at its row, whatever rows are taken, and books name their rows."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipeline.ranking.outcome import Outcome, no_reasons
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection import candidates
from pipeline.selection.candidates import (
    Candidates,
    read_candidates,
    read_vectors,
)
from pipeline.selection.decisions import count_step, describe_decisions
from storage.database import read_workspace
from tests.stage_runner import score, start, store_measurement

NAN = np.nan


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, list[str]]:
    """Five rows: tokens of three are counted, and each has two vectors of its own."""
    folder = tmp_path_factory.mktemp("candidates")
    rows = [{"prompt": f"p{n}", "completion": f"r{n}"} for n in range(5)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(folder / "w", [folder / "rows.jsonl"])
    counted = {
        "state": pa.array(["ok", "failed", "ok", "truncated", "ok"]),
        "response_tokens": pa.array([4, None, 6, None, 8], pa.int64()),
    }
    run = store_measurement(run, "token_counts", pool, counted)
    ok = pa.array(["ok"] * 5)
    hidden = pa.array([[float(n), 1.0] for n in range(5)])
    run = store_measurement(run, "losses", pool, {"state": ok, "vector": hidden})
    meant = pa.array([[float(-n), 2.0, 3.0] for n in range(5)])
    run = store_measurement(run, "embeddings", pool, {"state": ok, "embedding": meant})
    measures = {**run.measures, "embeddings_both": run.measures["embeddings"]}
    run = replace(run, measures=measures)
    return score(run, ScoreSettings(scorer="response_length"), pool), pool


@pytest.fixture
def rows(run: tuple[RunContext, list[str]]) -> Iterator[Candidates]:
    with read_workspace(run[0].workspace) as con:
        yield read_candidates(con, run[0], run[1][::-1])


def test_columns_are_aligned_with_the_rows_that_are_taken(rows: Candidates) -> None:
    taken = rows.at(np.array([4, 0, 3]))
    assert taken.ids.tolist() == [rows.ids[4], rows.ids[0], rows.ids[3]]
    assert taken.loss_tokens.tolist() == [8, 4, 0]
    assert taken.states.tolist() == ["ok", "ok", "truncated"]
    np.testing.assert_array_equal(taken.score("response_length"), [8, 4, NAN])
    assert taken.score_states("response_length").tolist() == ["ok", "ok", "truncated"]
    assert read_vectors("hidden", taken).tolist() == [[4, 1], [0, 1], [3, 1]]
    assert read_vectors("both", taken).tolist() == [[-4, 2, 3], [0, 2, 3], [-3, 2, 3]]
    assert taken.where(np.array([False, True, True])).ids.tolist() == [rows.ids[0], rows.ids[3]]


def test_a_turn_that_is_not_trained_takes_its_tokens_and_no_other(rows: Candidates) -> None:
    rows.pool.__dict__["turn_tokens"] = np.array([[4, NAN]] * 4 + [[3, 5]])
    aside = np.zeros((5, 2), dtype=np.bool_)
    aside[4, 1] = True
    assert rows.without(aside).loss_tokens.tolist() == [4, 0, 6, 0, 8 - 5]
    assert rows.without(aside).at(np.array([0, 4])).loss_tokens.tolist() == [4, 3]
    assert rows.trained.tolist() == [[True, False]] * 4 + [[True, True]]
    assert rows.without(aside).trained.tolist() == [[True, False]] * 5


def test_made_are_the_repairs_that_no_source_has(
    run: tuple[RunContext, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, pool = run
    made = {("key", tuple(found.source_ids)): {pool[1]}}
    monkeypatch.setattr(
        candidates, "read_made", lambda _con, key, sources: made[key, tuple(sources)]
    )
    with read_workspace(found.workspace) as con:
        assert read_candidates(con, found, pool).made().tolist() == [False] * 5
        repaired = read_candidates(con, replace(found, repairs="key"), pool)
        assert repaired.made().tolist() == [False, True, False, False, False]


def test_a_decision_names_the_row_that_caused_it_also_the_first(rows: Candidates) -> None:
    outcome = Outcome(
        np.array([0, 4]),
        np.array(["", "not_best_candidate", "not_best_candidate", "no_score", ""], dtype=object),
        np.array([-1, 0, 4, -1, -1]),
        np.array([1.0, 0.5, NAN, NAN, 2.0]),
        no_reasons(5),
    )
    found = describe_decisions(rows, outcome, ("response_length",))
    ids = rows.ids.tolist()
    assert list(found.example_ids) == ids
    assert list(found.because_of) == [None, ids[0], ids[4], None, None]
    assert list(found.values) == [1.0, 0.5, None, None, 2.0]
    assert list(found.reasons) == [
        "",
        "not_best_candidate",
        "not_best_candidate",
        "no_score:truncated",
        "",
    ]


def test_a_repair_is_found_where_it_is_now_and_nowhere_if_it_is_not(rows: Candidates) -> None:
    assert rows.repairs().tolist() == [-1] * 5, "no block repairs"
    rows.pool.__dict__["repairs"] = np.array([3, 0, -1, -1, 2])  # of each row of the pool
    assert rows.repairs().tolist() == [3, 0, -1, -1, 2]
    assert rows.at(np.array([4, 1, 0])).repairs().tolist() == [-1, 2, -1]
    assert rows.at(np.array([2, 4, 3, 0])).repairs().tolist() == [-1, 0, -1, 2]


def test_the_books_have_their_reasons_in_one_order() -> None:
    count = count_step("select", 2, "x", ["z", "", "a", "z", "", ""], ("a note",))
    assert (count.rows_in, count.kept, count.step) == (6, 3, 2)
    assert list(count.dropped.items()) == [("a", 1), ("z", 2)]
    assert count_step("select", 1, "x", ["a"]).kept == 0
