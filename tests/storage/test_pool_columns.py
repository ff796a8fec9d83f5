"""Columns of a pool: each row's number and state stand at the row's place."""

import numpy as np
import pytest

from storage.conversations import Conversation, TextField, compared_text, prompt_text, response_text
from storage.database import Connection
from storage.measurements import MeasureKey
from storage.pool_columns import (
    read_alike_at_first,
    read_crowded,
    read_members,
    read_pool_scores,
    read_pool_sources,
    read_pool_tokens,
    read_pool_vectors,
    read_prompt_rows,
    read_text_column,
    register_pool,
)
from storage.scores import ScoreKey, write_scores
from storage.sources import ReadRow, Source, add_source, write_examples, write_rows
from storage.texts import read_texts_of

KEY = ScoreKey("ifd", 1, "{}")
COUNTED = """
create or replace temp view token_counts as
select * from (
    values ('c', 5, 'ok', 'k'), ('b', null, 'truncated', 'k'), ('a', 9, 'ok', 'another key')
) as counted (example_id, response_tokens, state, measure_key)
"""


def test_scores_stand_at_their_rows(con: Connection) -> None:
    write_scores(con, KEY, ["c", "b", "other"], np.array([0.0, np.nan, 2]), ["ok", "failed", "ok"])
    write_scores(con, ScoreKey("ifd", 2, "{}"), ["a"], np.array([1.0]), ["ok"])
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


def test_vectors_stand_in_the_slots_that_are_asked_for(con: Connection) -> None:
    key, other = (MeasureKey("embeddings", "m", "f", "t", {"n": n}) for n in (1, 2))
    stored = {"a": "[1, 2]", "b": "[3, 4]", "c": "null", "d": "[5, 6]"}
    rows = [(name, vector, key.measure_key) for name, vector in stored.items()]
    rows += [("a", "[7, 8]", other.measure_key), ("x", "[9, 9]", key.measure_key)]
    values = ", ".join(f"('{name}', {vector}::float[], '{of}')" for name, vector, of in rows)
    columns = "example_id, embedding, measure_key"
    con.execute(f"create temp view embeddings as from (values {values}) as e ({columns})")
    register_pool(con, ["a", "b", "c", "d"])
    slots = np.array([1, -1, 2, 0])  # b is not asked for
    found = read_pool_vectors(con, key, "embedding", slots)
    np.testing.assert_array_equal(found, [[5, 6], [1, 2], [np.nan, np.nan]])
    assert found.dtype == np.float32
    assert read_pool_vectors(con, key, "no such column", slots).shape == (3, 0)
    nobody = read_pool_vectors(con, other, "embedding", np.array([-1, 0, 1, -1]))
    assert nobody.shape[0] == 2 and np.isnan(nobody).all()


def test_rows_are_known_by_the_sources_that_are_asked_for(con: Connection) -> None:
    one, two, three, made = (
        talk(prompt, answer)
        for prompt, answer in (
            ("ask me", "one"),
            ("ask me", "two"),
            ("ask us", "three"),
            ("ask me", "made"),
        )
    )
    for name, read in {"1": [one, one, two], "2": [one, three]}.items():
        add_source(con, Source(name, f"{name}.jsonl", None, None, f"licence {name}", name, 1))
        write_rows(con, name, [ReadRow(n, each, "messages") for n, each in enumerate(read, 1)], [])
    write_examples(con, [made], "generated")
    talks = [one, two, three, made]
    register_pool(con, [each.example_id for each in talks])
    assert read_members(con, ["2"], 4).tolist() == [True, False, True, False]
    assert read_members(con, ["1", "2"], 4).tolist() == [True, True, True, False]
    assert read_prompt_rows(con, ["1"], 4).tolist() == [3, 3, 0, 3]
    assert read_prompt_rows(con, ["1", "2"], 4).tolist() == [4, 4, 1, 4]
    paths, licenses = read_pool_sources(con, ["1", "2"], 4)
    assert paths.tolist() == ["1.jsonl", "1.jsonl", "2.jsonl", "generated"]
    assert licenses.tolist() == ["licence 1", "licence 1", "licence 2", "generated"]
    only = read_pool_sources(con, ["2"], 4)[0].tolist()
    assert only == ["2.jsonl", "generated", "2.jsonl", "generated"]
    assert read_text_column(con, "response", 4).tolist() == ["one", "two", "three", "made"]
    # The prompts are 6 characters long; three begin with `ask m`, all with `ask `.
    begun = [(4, 4), (4, 5), (5, 3), (5, 4), (5, 1), (6, 1)]
    crowded = [read_crowded(con, *each).tolist() for each in begun]
    assert crowded == [[0, 1, 2, 3], [], [0, 1, 3], [], [0, 1, 2, 3], []]
    # Then comes a blank line, and then the response: `one`, `two`, `three`, `made`.
    alike = [read_alike_at_first(con, opening).tolist() for opening in (4, 8, 9)]
    assert alike == [[0, 1, 2, 3], [0, 1, 3], []]


def talk(prompt: str, answer: str) -> Conversation:
    return Conversation(
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    )


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
