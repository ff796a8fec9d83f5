"""Scores of single turns, with values worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.measuring.measures.turn_ratings import place_rated
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.scoring.turn_scores import read_turn_scores, turn_scorers
from storage.database import read_workspace
from tests.stage_runner import score, start, store_measurement

NAN = np.nan


@pytest.fixture
def made(tmp_path: Path) -> tuple[RunContext, list[str]]:
    """A dialogue whose second answer is not trained, a single answer, a dialogue; in this order."""
    rows = [
        [
            {"role": role, "content": f"{role} {turn} {n}"}
            for turn in range(turns)
            for role in ("user", "assistant")
        ]
        for n, turns in enumerate((4, 1, 3))
    ]
    rows[0][3]["weight"] = 0  # type: ignore[assignment]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"messages": r}) for r in rows))
    run, _ = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    with read_workspace(run.workspace) as con:
        found = con.execute("select example_id from examples order by right(response, 1)")
        return run, [example_id for (example_id,) in found.fetchall()]


def values_of(run: RunContext, pool: list[str], scorer: str) -> np.ndarray:
    run = score(run, ScoreSettings(scorer=scorer), pool)
    with read_workspace(run.workspace) as con:
        return read_turn_scores(con, run.scores[scorer], run.measures, pool)


def test_each_turn_is_scored_as_a_row_of_its_own(made: tuple[RunContext, list[str]]) -> None:
    run, pool = made
    columns = {
        "state": pa.array(["ok", "ok", "truncated"]),
        "mean_nll": pa.array([2.5, 5.0, None]),
        "mean_nll_alone": pa.array([5.0, 4.0, None]),
        "turn_tokens": pa.array([[2, 4, 4], None, None], pa.list_(pa.int64())),
        "turn_nll": pa.array([[1.0, 8.0, 16.0], None, None], pa.list_(pa.float64())),
        "turn_nll_alone": pa.array([[4.0, 16.0, 0.0], None, None], pa.list_(pa.float64())),
    }
    run = store_measurement(run, "losses", pool, columns)
    # Means 0.5, 2 and 4 nats; alone 2, 4 and 0, by which nothing can be divided. The single
    # answer was measured before turns were.
    np.testing.assert_array_equal(
        values_of(run, pool, "grape"), [[-0.5, -2, -4], [-5, NAN, NAN], [NAN, NAN, NAN]]
    )
    np.testing.assert_array_equal(
        values_of(run, pool, "ifd"), [[0.25, 0.5, NAN], [1.25, NAN, NAN], [NAN, NAN, NAN]]
    )


def test_a_trained_turn_has_the_marks_of_the_turn_it_was_rated_in(
    made: tuple[RunContext, list[str]],
) -> None:
    run, pool = made

    def sure(marks: list[int]) -> list[list[float]]:
        return [[float(mark == each) for each in range(1, 7)] for mark in marks]

    columns = {
        "state": pa.array(["ok", "ok", "failed"]),
        "complexity": pa.array([sure([2, 1, 3, 4]), sure([6]), None]),
        "complexity_mass": pa.array([[1.0] * 4, [1.0], None]),
        "quality": pa.array([sure([5, 1, 4, 6]), sure([1]), None]),
        "quality_mass": pa.array([[1.0] * 4, [1.0], None]),
    }
    run = store_measurement(run, "turn_ratings", pool, columns)
    # The second turn, 1 x 1, is rated and not trained.
    np.testing.assert_array_equal(
        values_of(run, pool, "deita"), [[10, 12, 24], [6, NAN, NAN], [NAN, NAN, NAN]]
    )


def test_the_turn_that_a_trained_answer_was_rated_in() -> None:
    # A greeting answers nobody; a call and the answer behind it are one turn; so are two questions.
    roles = {"a": "assistant", "u": "user", "t": "tool", "s": "system"}
    messages = [{"role": roles[letter]} for letter in "sauataauuasa"]
    assert place_rated(messages, [1, 3, 5, 6, 9, 11]) == [-1, 0, 0, 0, 1, 1]
    assert place_rated(messages[2:], [1]) == [0] and place_rated(messages, []) == []


def test_nothing_is_measured(made: tuple[RunContext, list[str]]) -> None:
    run, pool = made
    run = store_measurement(run, "turn_ratings", [], {"state": pa.array([], pa.string())})
    run = store_measurement(run, "losses", [], {"state": pa.array([], pa.string())})
    for scorer in ("deita", "entropy"):
        assert np.isnan(values_of(run, pool, scorer)).all()


def test_scores_that_have_a_value_for_a_turn() -> None:
    assert turn_scorers() == [
        "deita",
        "entropy",
        "grape",
        "ifd",
        "ifd_perplexity",
        "perplexity",
        "response_length",
    ]
