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


def test_a_score_is_replaced_and_its_neighbours_are_not(con: Connection) -> None:
    others = [KEY._replace(scorer="grape"), KEY._replace(version=2), KEY._replace(settings="{ }")]
    for each in (KEY, *others):
        write_scores(con, each, ["a", "b", "c"], np.array([1.0, 2.0, 3.0]), ["ok"] * 3)
    for _ in range(2):
        write_scores(
            con, KEY, ["c", "d", "a"], np.array([np.nan, 4.0, 5.0]), ["failed", "ok", "ok"]
        )
    values, states = read_scores(con, KEY, ["a", "b", "c", "d"])
    np.testing.assert_array_equal(values, [5.0, 2.0, np.nan, 4.0])
    assert states == ["ok", "ok", "failed", "ok"]
    for each in others:
        assert read_scores(con, each, ["a", "b", "c"])[0].tolist() == [1.0, 2.0, 3.0]
    assert con.execute("select count(*) from scores").fetchall() == [(13,)]


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


def test_an_example_that_is_given_twice_is_refused(con: Connection) -> None:
    with pytest.raises(ValueError, match="an example is given twice"):
        write_scores(con, KEY, ["a", "b", "a"], np.array([1.0, 2.0, 3.0]), ["ok"] * 3)
    assert con.execute("select count(*) from scores").fetchall() == [(0,)]
