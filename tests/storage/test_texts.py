"""Whole texts of examples: at their places, and none where there is no response."""

import pytest

from storage import texts
from storage.conversations import Conversation, Message, TextField
from storage.database import Connection
from storage.sources import write_examples
from storage.texts import read_text_blocks


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
