"""What was read of sources: counted, listed by path, and never lost."""

import hashlib

import pytest

from storage.conversations import Conversation
from storage.database import Connection
from storage.sources import (
    QuarantinedRow,
    ReadRow,
    Source,
    add_source,
    complete_source,
    count_occurrences,
    count_quarantine,
    list_quarantine,
    read_source_ids,
    read_source_paths,
    write_examples,
    write_rows,
)

TALK = Conversation([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])


def bad(position: int, reason: str) -> QuarantinedRow:
    return QuarantinedRow(position, reason, f"detail {position}", b"raw")


@pytest.fixture
def read(con: Connection) -> Connection:
    """Source 1 has 3 rows and 2 bad ones, source 2 has 1 and 2, source 3 none."""
    good = {"1": [1, 3, 5], "2": [2], "3": []}
    broken = {"1": [bad(4, "b"), bad(2, "a")], "2": [bad(1, "a"), bad(3, "c")], "3": []}
    for name, path in {"1": "z.jsonl", "2": "m.jsonl", "3": "a.jsonl"}.items():
        assert not add_source(con, Source(name, path, None, None, "", name, 1))
        write_rows(con, name, [ReadRow(n, TALK, "messages") for n in good[name]], broken[name])
    return con


def test_rows_and_bad_rows_are_counted_by_source(read: Connection) -> None:
    assert [count_occurrences(read, each) for each in (["1"], ["2"], ["1", "2"])] == [3, 1, 4]
    assert count_quarantine(read, ["1", "2", "3"]) == {"a": 2, "b": 1, "c": 1}
    assert count_quarantine(read, ["2"]) == {"a": 1, "c": 1}
    assert list(count_quarantine(read, ["1", "2"])) == ["a", "b", "c"]
    assert count_quarantine(read, ["3"]) == {}


def test_bad_rows_are_listed_by_path_and_position(read: Connection) -> None:
    listed = [(path, position) for path, position, _, _ in list_quarantine(read, ["1", "2"])]
    assert listed == [("m.jsonl", 1), ("m.jsonl", 3), ("z.jsonl", 2), ("z.jsonl", 4)]
    assert list_quarantine(read, ["2"])[0] == ("m.jsonl", 1, "a", "detail 1")


def test_sources_are_named_in_the_order_of_their_ids(read: Connection) -> None:
    assert read_source_ids(read) == ["1", "2", "3"]
    assert read_source_paths(read, ["3", "1"]) == [("1", "z.jsonl"), ("3", "a.jsonl")]


def calling(*names: str) -> Conversation:
    arguments = {name: 1 for name in names}
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    answer = {"role": "assistant", "tool_calls": [call], "content": ""}
    schema = {"type": "function", "function": {"name": "f", "description": "d"}}
    return Conversation([{"role": "user", "content": "q"}, answer], [schema])


def stored(con: Connection) -> list[tuple[str, str, str]]:
    return con.execute("select example_id, messages, tools from examples").fetchall()


@pytest.mark.parametrize("batches", [[2], [1, 1]], ids=["one batch", "two"])
def test_the_keys_of_tools_and_calls_stay_as_the_first_row_has_them(
    con: Connection, batches: list[int]
) -> None:
    add_source(con, Source("1", "a.jsonl", None, None, "", "1", 1))
    rows = [ReadRow(1, calling("b", "a"), "messages"), ReadRow(2, calling("a", "b"), "messages")]
    for size in batches:
        write_rows(con, "1", rows[:size], [])
        del rows[:size]
    call = '{"type":"function","function":{"name":"f","arguments":{"b":1,"a":1}}}'
    answer = f'{{"content":"","role":"assistant","tool_calls":[{call}]}}'
    messages = f'[{{"content":"q","role":"user"}},{answer}]'
    tools = '[{"type":"function","function":{"name":"f","description":"d"}}]'
    # The id is of the text with every key sorted, whatever the row had.
    sorted_call = '{"function":{"arguments":{"a":1,"b":1},"name":"f"},"type":"function"}'
    sorted_tools = '[{"function":{"description":"d","name":"f"},"type":"function"}]'
    hashed = f'{{"messages":{messages.replace(call, sorted_call)},"tools":{sorted_tools}}}'
    example_id = hashlib.sha256(hashed.encode()).hexdigest()[:32]
    assert stored(con) == [(example_id, messages, tools)]


def test_trained_turns_are_stored_where_there_are_several(con: Connection) -> None:
    asked, answered = TALK.messages
    talks = [Conversation([asked, answered] * n, turns="all") for n in (1, 2)]
    ids = write_examples(con, [*talks, Conversation([asked])], "source")
    query = "select example_id, response_at, trained_at from examples"
    found = {example_id: told for example_id, *told in con.execute(query).fetchall()}
    assert [found[i] for i in ids] == [[1, None], [3, [1, 3]], [None, None]]


def test_a_source_is_complete_with_all_its_rows_and_no_other_is(read: Connection) -> None:
    with pytest.raises(ValueError, match="6 rows were read, but 3 are stored and 2 quarantined"):
        complete_source(read, "1", 6)
    complete_source(read, "1", 5)
    found = read.execute("select source_id, complete, rows from sources order by 1").fetchall()
    assert found == [("1", True, 5), ("2", False, None), ("3", False, None)]
    again = Source("1", "z.jsonl", None, None, "MIT", "1", 1)
    assert add_source(read, again)  # read whole already; its licence is as it is given now
    assert read.execute("select license from sources order by source_id").fetchall()[0] == ("MIT",)
