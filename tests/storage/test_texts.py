"""Whole texts of examples: at their places, and none where there is no response."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from storage import arriving_rows, long_rows, texts
from storage.asked import read_aligned
from storage.conversations import Conversation, Message, TextField
from storage.database import Connection
from storage.sources import write_examples
from storage.texts import read_text_blocks, read_text_parts, read_texts_of


def ask(prompt: str, response: str | None) -> Conversation:
    messages: list[Message] = [{"role": "user", "content": prompt}]
    if response is not None:
        messages.append({"role": "assistant", "content": response})
    return Conversation(messages)


def read(
    con: Connection, wanted: dict[str, TextField], ids: list[str]
) -> dict[str, list[str | None]]:
    """All blocks, put together by their places."""
    found: dict[str, list[str | None]] = {name: ["nothing"] * len(ids) for name in wanted}
    for places, columns in read_text_blocks(con, wanted, ids):
        for name, column in columns.items():
            for place, text in zip(places.tolist(), column, strict=True):
                found[name][place] = text
    return found


def test_texts_stand_at_the_places_of_the_ids_that_were_given(con: Connection) -> None:
    asked = [ask("a", "one"), ask("b", None), ask("c", "")]
    ids = write_examples(con, asked, "source")
    write_examples(con, [ask("d", "unwanted")], "source")
    every: dict[str, TextField] = {"text": "both", "prompt": "prompt", "response": "response"}
    for order in ([0, 1, 2], [2, 0, 1]):
        found = read(con, every, [ids[n] for n in order])
        assert found == {
            "text": [["a\n\none", None, "c\n\n"][n] for n in order],
            "prompt": [["a", "b", "c"][n] for n in order],
            "response": [["one", None, ""][n] for n in order],
        }


def test_a_block_has_a_bounded_number_of_rows(
    con: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = write_examples(con, [ask(str(n), f"r{n}") for n in range(10)], "source")
    monkeypatch.setattr(texts, "BLOCK_TEXTS", 4)
    blocks = [places.tolist() for places, _ in read_text_blocks(con, {"t": "response"}, ids)]
    assert [len(block) for block in blocks] == [4, 4, 2]
    assert sorted(place for block in blocks for place in block) == [*range(10)]
    assert list(read_text_blocks(con, {"t": "response"}, [])) == []


@pytest.mark.parametrize("most", [1, 700, 10**6])
def test_texts_by_ids_are_read_in_blocks_of_bytes(
    con: Connection, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(arriving_rows, "LONG_BYTES", 200)
    monkeypatch.setattr(long_rows, "PART_BYTES", 400)
    monkeypatch.setattr(long_rows, "BLOCK_BYTES", most)
    asked: list[int] = []

    def counted(con: Connection, query: str, ids: Sequence[str]) -> pa.Table:
        asked.append(len(ids))
        return read_aligned(con, query, ids)

    monkeypatch.setattr(texts, "read_aligned", counted)
    letters = "gbdface"
    talks = [ask(letter * (300 if letter in "bdef" else 3), letter) for letter in letters]
    ids = write_examples(con, talks, "source")
    found = read_texts_of(con, "response", [*ids, ids[0]])
    assert found == [*letters, "g"] and sum(asked) == 8
    parts = read_text_parts(con, ids)
    assert [part.response for part in parts] == [*letters]
    assert max(asked) <= {1: 1, 700: 4, 10**6: 8}[most]
    with pytest.raises(ValueError, match="asked for"):
        read_texts_of(con, "prompt", [*ids, "x"])
