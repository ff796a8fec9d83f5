"""Long examples: in parts of bounded size, and read like all others."""

import pytest

from storage import arriving_rows, long_rows
from storage.arriving_rows import write_examples
from storage.conversations import Conversation
from storage.database import Connection, open_workspace, transaction
from storage.examples import read_examples, stream_examples
from storage.long_rows import cut_blocks, in_bounded_memory, read_example_tables, relation_with
from storage.texts import read_text_blocks
from storage.workspace import Workspace


def talk(text: str) -> Conversation:
    return Conversation([{"role": "user", "content": text}, {"role": "assistant", "content": "a"}])


@pytest.fixture
def parted(con: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Messages of 200 bytes are long, and two of them fill a part."""
    monkeypatch.setattr(arriving_rows, "LONG_BYTES", 200)
    monkeypatch.setattr(long_rows, "PART_BYTES", 400)
    return con


TALKS = [talk(letter * (300 if letter in "bdefg" else 3)) for letter in "abcdefgh"]


def test_long_examples_fill_one_part_after_another(parted: Connection) -> None:
    ids = write_examples(parted, TALKS[:5], "source")
    assert write_examples(parted, TALKS[3:], "source") == [talk.example_id for talk in TALKS[3:]]
    tables = ["short_examples", "long_examples_1", "long_examples_2", "long_examples_3"]
    assert read_example_tables(parted) == tables
    rows = [parted.execute(f"select count(*) from {table}").fetchall()[0][0] for table in tables]
    assert rows == [3, 2, 2, 1]
    found = [each.messages for each in read_examples(parted, ids)]
    assert found == [list(talk.messages) for talk in TALKS[:5]]
    counted = parted.execute("select count(*), sum(bytes) from long_rows").fetchall()
    stored = "select count(*), sum(strlen(messages)) from examples where strlen(messages) >= 200"
    assert counted == parted.execute(stored).fetchall()


def test_what_is_rolled_back_leaves_no_part(parted: Connection) -> None:
    with pytest.raises(KeyboardInterrupt), transaction(parted):
        write_examples(parted, TALKS, "source")
        raise KeyboardInterrupt
    assert read_example_tables(parted) == ["short_examples"]
    write_examples(parted, TALKS, "source")
    assert parted.execute("select count(distinct example_id) from examples").fetchall() == [(8,)]


def test_examples_are_streamed_table_by_table(parted: Connection) -> None:
    ids = write_examples(parted, TALKS, "source")
    blocks = list(stream_examples(parted, ids, 100))
    assert [len(block) for block in blocks] == [3, 2, 2, 1]
    assert sorted(each.example_id for block in blocks for each in block) == sorted(ids)
    with pytest.raises(ValueError, match="9 examples were asked for, 8 found"):
        list(stream_examples(parted, [*ids, "x"], 100))


def test_texts_come_table_by_table_and_know_their_places(parted: Connection) -> None:
    ids = write_examples(parted, TALKS, "source")[::-1]
    found: dict[int, str] = {}
    for places, texts in read_text_blocks(parted, {"of": "prompt"}, ids):
        assert len(places) <= 3
        found |= dict(zip(places.tolist(), texts["of"], strict=True))
    assert [found[place] for place in range(8)] == [
        talk.messages[0]["content"] for talk in reversed(TALKS)
    ]


def test_parts_are_there_when_the_workspace_is_opened_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving_rows, "LONG_BYTES", 200)
    with open_workspace(workspace) as con:
        write_examples(con, TALKS[:4], "source")
    with open_workspace(workspace) as con:
        assert read_example_tables(con) == ["short_examples", "long_examples_1"]
        write_examples(con, TALKS[4:], "source")
        assert con.execute("select count(*) from examples").fetchall() == [(8,)]


def test_a_part_is_read_only_for_the_examples_it_has(parted: Connection) -> None:
    ids = write_examples(parted, TALKS, "source")
    assert relation_with(parted, [ids[0], ids[2]]) == "select * from short_examples"
    found = relation_with(parted, [ids[6], ids[0], ids[1]])
    assert found.count("union all") == 2 and "long_examples_2" not in found
    wanted = [ids[6], ids[0], ids[1]]
    assert [each.example_id for each in read_examples(parted, wanted)] == wanted


@pytest.mark.parametrize(
    ("most", "lengths"),
    [
        (1, [1] * 8),
        (400, [2, 2, 2, 2]),  # a long one has 374 bytes, a short one 77
        (452, [3, 2, 2, 1]),  # one more than a long one and a short one have
        (10_000, [8]),
    ],
)
def test_blocks_are_of_bytes(
    parted: Connection, monkeypatch: pytest.MonkeyPatch, most: int, lengths: list[int]
) -> None:
    ids = write_examples(parted, TALKS, "source")
    monkeypatch.setattr(long_rows, "BLOCK_BYTES", most)
    blocks = list(cut_blocks(parted, ids))
    assert [len(block) for block in blocks] == lengths
    assert [each for block in blocks for each in block] == ids
    assert list(cut_blocks(parted, [])) == []


def test_memory_is_bounded_where_there_are_long_examples(parted: Connection) -> None:
    def limit() -> int:
        (found,) = parted.execute("select current_setting('memory_limit')").fetchall()
        number, unit = str(found[0]).split()
        return round(float(number) * {"MiB": 2**20, "GiB": 2**30}[unit])

    usual = limit()
    with in_bounded_memory(parted):
        assert limit() == usual, "there are none"
    ids = write_examples(parted, TALKS, "source")
    with in_bounded_memory(parted):
        assert limit() == 2**28
    parted.execute("update long_rows set bytes = 2 ** 23")
    with in_bounded_memory(parted, [ids[0], ids[1], ids[3]]):  # two of them are long
        assert limit() == 2**28 + 2**27
    assert limit() > usual // 2
