"""What is asked of the examples: by source, by prompt, by the start of an id, by attempts."""

import pytest

from storage.conversations import Conversation
from storage.database import Connection, QueryError
from storage.examples import (
    Attempt,
    Example,
    FirstSource,
    MadeBy,
    count_copies,
    find_example,
    read_all_ids,
    read_attempted,
    read_first_sources,
    read_made_of,
    read_makers,
    read_pairs,
    read_pool,
    read_response_lengths,
    stream_examples,
    stream_messages,
    write_attempts,
    write_edited,
)
from storage.sources import ReadRow, Source, add_source, write_rows


def talk(prompt: str, answer: str | None) -> Conversation:
    turns = [{"role": "user", "content": prompt}]
    return Conversation(
        turns if answer is None else [*turns, {"role": "assistant", "content": answer}]
    )


ONE, TWO, BARE = talk("p", "one"), talk("q", "three"), talk("r", None)
MADE = talk("p", "made")


@pytest.fixture
def given(con: Connection) -> Connection:
    """The first in both sources and twice in one, the second in one, a prompt in the other."""
    for name, rows in {"a": [ONE, TWO, ONE], "b": [ONE, BARE]}.items():
        add_source(con, Source(name, name, None, None, "", name, 1))
        read = [ReadRow(n, each, "messages") for n, each in enumerate(rows, start=1)]
        write_rows(con, name, read, [])
    return con


def ids(*talks: Conversation) -> list[str]:
    return sorted(each.example_id for each in talks)


def test_a_pool_is_the_distinct_examples_of_its_sources(given: Connection) -> None:
    assert read_pool(given, ["a", "b"]) == ids(ONE, TWO, BARE) == read_all_ids(given)
    assert read_pool(given, ["b"]) == ids(ONE, BARE)
    pairs = [(ONE, "a"), (ONE, "b"), (TWO, "a"), (BARE, "b")]
    expected = sorted((each.example_id, source) for each, source in pairs)
    assert read_pairs(given, ["a", "b"]) == expected
    assert read_pairs(given, ["b"]) == [pair for pair in expected if pair[1] == "b"]


def test_an_example_stands_first_in_the_first_of_the_sources_asked_for(given: Connection) -> None:
    one, two = ONE.example_id, TWO.example_id
    first = {one: FirstSource("a", "a", "", 1), two: FirstSource("a", "a", "", 2)}
    assert read_first_sources(given, [one, two], ["a", "b"]) == first
    assert read_first_sources(given, [one, two], ["b"]) == {one: FirstSource("b", "b", "", 1)}
    assert read_first_sources(given, [two], ["a"]) == {two: first[two]}


def test_copies_are_rows_of_the_sources_asked_for(given: Connection) -> None:
    asked = ids(ONE, TWO, BARE, MADE)
    both = {ONE.example_id: 3, TWO.example_id: 1, BARE.example_id: 1}
    assert count_copies(given, asked, ["a", "b"]) == both
    assert count_copies(given, asked, ["b"]) == {ONE.example_id: 1, BARE.example_id: 1}
    assert count_copies(given, ids(TWO), ["a", "b"]) == {TWO.example_id: 1}


def test_a_stream_has_each_example_once_and_all_that_were_asked_for(given: Connection) -> None:
    wanted = ids(ONE, BARE)
    blocks = list(stream_examples(given, wanted, rows=1))
    found = {each.example_id: each.messages for block in blocks for each in block}
    assert found == {each.example_id: [*each.messages] for each in (ONE, BARE)}
    assert sum(map(len, blocks)) == 2
    with pytest.raises(ValueError, match="3 examples were asked for, 2 found"):
        list(stream_examples(given, [*wanted, "0" * 32], rows=1))


def test_messages_alone_are_streamed_by_id(given: Connection) -> None:
    wanted = ids(ONE, BARE)
    blocks = list(stream_messages(given, wanted, rows=1))
    expected = {each.example_id: [*each.messages] for each in (ONE, BARE)}
    assert {name: said for block in blocks for name, said in block.items()} == expected
    assert [len(block) for block in blocks] == [1, 1]
    with pytest.raises(ValueError, match="3 examples were asked for, 2 found"):
        list(stream_messages(given, [*wanted, "0" * 32], rows=1))


def test_lengths_are_of_those_that_have_a_response(given: Connection) -> None:
    expected = {ONE.example_id: 3, TWO.example_id: 5}
    assert read_response_lengths(given, ids(ONE, TWO, BARE)) == expected


def test_an_example_is_found_by_the_start_of_its_id(given: Connection) -> None:
    assert find_example(given, ONE.example_id[:12]) == ONE.example_id
    with pytest.raises(QueryError, match="no example has an id that starts with 'x'"):
        find_example(given, "x")
    with pytest.raises(QueryError, match="3 examples have ids that start with ''"):
        find_example(given, "")
    given.execute("delete from short_examples where example_id = $i", {"i": BARE.example_id})
    with pytest.raises(QueryError, match="2 examples"):
        find_example(given, "")


def test_attempts_are_known_by_their_key_and_their_parent(given: Connection) -> None:
    one, two = ONE.example_id, TWO.example_id
    tried = [
        Attempt(one, 0, MADE, ""),
        Attempt(one, 1, MADE, ""),
        Attempt(two, 0, None, "timeout"),
        Attempt(two, 1, None, "timeout"),
        Attempt(one, 2, None, "empty"),
    ]
    write_attempts(given, tried, MadeBy("key", "{}", "run", "m"))
    assert read_attempted(given, "key", [one, two, BARE.example_id]) == {one, two}
    assert read_attempted(given, "key", [two]) == {two}
    assert read_attempted(given, "other", [one, two]) == set()
    assert read_made_of(given, "key", [one, two]) == [(MADE.example_id, one)]
    assert read_made_of(given, "key", [two]) == read_made_of(given, "other", [one]) == []
    query = "select state, count(*) from generation_attempts group by state order by state"
    assert given.execute(query).fetchall() == [("failed", 3), ("ok", 2)]


def test_of_several_makers_the_first_by_name_is_told(given: Connection) -> None:
    for model in ("m2", "m1", "m3"):
        attempt = Attempt(ONE.example_id, 0, MADE, "")
        write_attempts(given, [attempt], MadeBy(f"key of {model}", "{}", "run", model))
    assert read_makers(given, ids(MADE, ONE)) == {MADE.example_id: "m1"}
    assert read_makers(given, ids(ONE)) == {}
    other = Attempt(TWO.example_id, 0, talk("q", "made too"), "")
    write_attempts(given, [other], MadeBy("k", "{}", "run", "m0"))
    edited = [(MADE.example_id, talk("p", "[EMAIL]")), (ONE.example_id, talk("p", "[PHONE]"))]
    (made, row) = write_edited(given, "redacted", edited, MadeBy("e", "{}", "run"))
    assert read_makers(given, [made, row]) == {made: "m1"}


@pytest.mark.parametrize(("trained_at", "turns"), [([], "last"), ([3], "last"), ([1, 3], "all")])
def test_a_conversation_trains_what_its_example_does(trained_at: list[int], turns: str) -> None:
    turn = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    example = Example("e", "p", turn * 2, [], None, "", "", trained_at)
    assert example.conversation == Conversation(turn * 2, [], turns)  # type: ignore[arg-type]
