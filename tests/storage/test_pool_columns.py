"""Columns of a pool: each row's number and state stand at the row's place."""

import numpy as np
import pytest

from storage.conversations import Conversation, TextField, compared_text, prompt_text, response_text
from storage.database import Connection
from storage.pool_columns import read_pool_scores, read_pool_tokens, register_pool
from storage.scores import write_scores
from storage.sources import write_examples
from storage.texts import read_texts_of

KEY = ("ifd", 1, "{}")
COUNTED = """
create or replace temp view token_counts as
select * from (
    values ('c', 5, 'ok', 'k'), ('b', null, 'truncated', 'k'), ('a', 9, 'ok', 'another key')
) as counted (example_id, response_tokens, state, measure_key)
"""


def test_scores_stand_at_their_rows(con: Connection) -> None:
    write_scores(con, KEY, ["c", "b", "other"], np.array([0.0, np.nan, 2]), ["ok", "failed", "ok"])
    write_scores(con, ("ifd", 2, "{}"), ["a"], np.array([1.0]), ["ok"])
    register_pool(con, ["a", "b", "c"])
    values, states = read_pool_scores(con, KEY, 3)
    np.testing.assert_array_equal(values, [np.nan, np.nan, 0.0])
    assert states.tolist() == ["not_measured", "failed", "ok"]


def test_tokens_stand_at_their_rows(con: Connection) -> None:
    con.execute(COUNTED)
    register_pool(con, ["a", "b", "c"])
    values, states = read_pool_tokens(con, "k", 3)
    np.testing.assert_array_equal(values, [np.nan, np.nan, 5.0])
    assert states.tolist() == ["not_measured", "truncated", "ok"]


def test_an_empty_pool_has_no_states(con: Connection) -> None:
    register_pool(con, [])
    values, states = read_pool_scores(con, KEY, 0)
    assert (len(values), len(states)) == (0, 0)


@pytest.mark.parametrize("of", ["prompt", "response", "both"])
def test_the_database_compares_the_text_that_python_does(con: Connection, of: TextField) -> None:
    asked = {"role": "user", "content": "q"}
    answers = [[], [{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": ""}]]
    made = [Conversation([asked, *answer]) for answer in answers]
    ids = write_examples(con, made, origin="source")
    expected = [
        compared_text(of, prompt_text(each), response_text(each) if each.response else None)
        for each in made
    ]
    assert read_texts_of(con, of, ids) == expected
    assert (
        expected
        == {
            "prompt": ["q", "q", "q"],
            "response": ["", "a", ""],
            "both": ["", "q\n\na", "q\n\n"],
        }[of]
    )
