"""A score that could not be had is null with a state, never a number."""

import numpy as np
import pytest

from storage.database import Connection
from storage.scores import ScoreKey, read_scores, write_scores

KEY = ScoreKey("ifd", 1, "{}")


def test_null_comes_back_as_nan_with_its_state(con: Connection) -> None:
    write_scores(con, KEY, ["a", "b"], np.array([0.5, np.nan]), ["ok", "truncated"])
    stored = con.execute("select value, state from scores order by example_id").fetchall()
    assert stored == [(0.5, "ok"), (None, "truncated")]
    values, states = read_scores(con, KEY, ["b", "a", "never"])
    np.testing.assert_array_equal(values, [np.nan, 0.5, np.nan])
    assert states == ["truncated", "ok", "not_measured"]


def test_zero_is_a_score(con: Connection) -> None:
    write_scores(con, KEY, ["a"], np.array([0.0]), ["ok"])
    values, states = read_scores(con, KEY, ["a"])
    assert values.tolist() == [0.0]
    assert states == ["ok"]


def test_settings_and_versions_are_kept_apart(con: Connection) -> None:
    for key, value in (
        (KEY, 1.0),
        (ScoreKey("ifd", 2, "{}"), 2.0),
        (ScoreKey("ifd", 1, '{"a":1}'), 3.0),
    ):
        write_scores(con, key, ["a"], np.array([value]), ["ok"])
    assert read_scores(con, KEY, ["a"])[0].tolist() == [1.0]


@pytest.mark.parametrize(
    ("values", "states", "message"),
    [
        ([np.inf], ["ok"], "infinite"),
        ([np.nan], ["ok"], "exactly where there is a value"),
        ([1.0], ["failed"], "exactly where there is a value"),
        ([1.0, 2.0], ["ok"], "2 values"),
    ],
)
def test_what_contradicts_itself_is_refused(
    con: Connection, values: list[float], states: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_scores(con, KEY, ["a"], np.array(values), states)
