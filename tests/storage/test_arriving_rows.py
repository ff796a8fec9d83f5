"""Rows on their way into the tables: counted, bounded, and written together or not at all."""

import duckdb
import pytest

from storage.arriving_rows import (
    ArrivingExamples,
    ArrivingRows,
    QuarantinedRow,
    ReadRow,
    write_examples,
)
from storage.conversations import Conversation
from storage.database import Connection


def talk(text: str, turns: int = 1) -> Conversation:
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": "a"}]
    return Conversation(said * turns, turns="all")


def test_a_text_is_measured_in_bytes_once_for_each_content() -> None:
    arriving = ArrivingExamples("source")
    for text in ("é", "é", "ab"):
        arriving.add(talk(text))
    frame = len('[{"content":"","role":"user"},{"content":"a","role":"assistant"}]')
    assert arriving.bytes == 2 * frame + 2 + 2


def test_rows_are_counted_and_their_bytes_too() -> None:
    arriving = ArrivingRows("s")
    arriving.add(ReadRow(1, talk("a"), "messages"))
    of_text = arriving.bytes
    arriving.add(ReadRow(2, talk("a"), "messages"))  # the same text is held once
    assert (len(arriving), arriving.bytes) == (2, of_text)
    arriving.add(QuarantinedRow(3, "invalid_json", "why", b"x" * 100))
    assert (len(arriving), arriving.bytes) == (3, of_text + 100)


def test_rows_are_written_all_or_none(con: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    arriving = ArrivingRows("s")
    arriving.add(ReadRow(1, talk("a"), "messages"))
    arriving.add(QuarantinedRow(2, "invalid_json", "why", b"x"))
    query = "select (select count(*) from examples), (select count(*) from occurrences)"
    with monkeypatch.context() as broken:
        broken.setattr("storage.arriving_rows.WRITE_QUARANTINE", "insert into nowhere select 1")
        with pytest.raises(duckdb.CatalogException):
            arriving.write(con)
    assert con.execute(query).fetchall() == [(0, 0)]
    arriving.write(con)
    assert con.execute(query).fetchall() == [(1, 1)]


def test_an_example_that_is_there_is_not_written_again(con: Connection) -> None:
    first = write_examples(con, [talk("a"), talk("b"), talk("a")], "source")
    again = write_examples(con, [talk("b"), talk("c", turns=2)], "generated")
    assert first[0] == first[2] and first[1] == again[0]
    stored = con.execute("select example_id, origin, trained_at from examples").fetchall()
    assert stored == [
        (first[0], "source", None),
        (first[1], "source", None),
        (again[1], "generated", [1, 3]),
    ]
