"""Queries to databases of others: real files, and what is wrong with them said in words."""

import sqlite3
from pathlib import Path

import duckdb
import pytest

from storage.table_queries import TableQueryError, read_table_query


def sqlite_file(path: Path) -> str:
    with sqlite3.connect(path) as con:
        con.execute("create table chats (prompt text, completion text, at text)")
        con.executemany("insert into chats values (?, ?, ?)", [("a", "b", None), ("c", "d", "x")])
    return str(path)


def duckdb_file(path: Path) -> str:
    with duckdb.connect(str(path)) as con:
        con.execute("create table chats (messages json, day date, n decimal(8, 2))")
        turns = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'
        con.execute("insert into chats values (?, '2026-11-21', 1.50)", [turns])
    return str(path)


def test_sqlite_rows_come_in_their_order_and_the_file_is_not_changed(tmp_path: Path) -> None:
    database = sqlite_file(tmp_path / "chats.db")
    before = Path(database).read_bytes()
    (rows,) = read_table_query(database, "select * from chats order by prompt desc")
    assert rows == [
        {"prompt": "c", "completion": "d", "at": "x"},
        {"prompt": "a", "completion": "b", "at": None},
    ]
    with pytest.raises(TableQueryError, match="not authorized"):
        list(read_table_query(database, "delete from chats"))
    assert Path(database).read_bytes() == before


def test_json_columns_of_duckdb_are_values(tmp_path: Path) -> None:
    database = duckdb_file(tmp_path / "chats.duckdb")
    ((row,),) = read_table_query(database, "select * from chats")
    assert row["messages"][1] == {"role": "assistant", "content": "b"}
    with pytest.raises(TableQueryError, match=r"chats\.duckdb does not answer"):
        list(read_table_query(database, "drop table chats"))


def test_a_url_is_read_from_the_environment_and_its_password_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sqlite_file(tmp_path / "chats.db")
    monkeypatch.setenv("CHATS", f"sqlite:///{path}")
    (rows,) = read_table_query("env:CHATS", "select prompt from chats")
    assert rows == [{"prompt": "a"}, {"prompt": "c"}]
    monkeypatch.setenv("CHATS", "postgresql+nodriver://me:secret@localhost/chats")
    with pytest.raises(TableQueryError) as error:
        list(read_table_query("env:CHATS", "select 1"))
    assert "secret" not in str(error.value)
    monkeypatch.delenv("CHATS")
    with pytest.raises(TableQueryError, match="CHATS is not set"):
        list(read_table_query("env:CHATS", "select 1"))


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableQueryError, match="there is no"):
        list(read_table_query(str(tmp_path / "gone.db"), "select 1"))
    (tmp_path / "rows.jsonl").write_text("{}")
    with pytest.raises(TableQueryError, match="neither a DuckDB nor a SQLite file"):
        list(read_table_query(str(tmp_path / "rows.jsonl"), "select 1"))


@pytest.mark.parametrize(
    "query",
    [
        "attach database '{other}' as other",
        "vacuum into '{copy}'",
        "pragma journal_mode = off",
        "insert into chats select * from chats",
        "create table more as select * from chats",
    ],
)
def test_sqlite_does_nothing_but_read_its_own_file(tmp_path: Path, query: str) -> None:
    database = sqlite_file(tmp_path / "chats.db")
    other = sqlite_file(tmp_path / "other.db")
    with pytest.raises(TableQueryError, match=r"not authorized|authorization denied"):
        list(read_table_query(database, query.format(other=other, copy=tmp_path / "copy.db")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chats.db", "other.db"]
    query = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3) "
    query += "select upper(prompt) as p, i from chats join n order by p, i"
    (rows,) = read_table_query(database, query)
    assert [(row["p"], row["i"]) for row in rows] == [(p, i) for p in "AC" for i in (1, 2, 3)]


@pytest.mark.parametrize("of_file", [True, False])
def test_a_duckdb_file_reaches_no_other_file(tmp_path: Path, of_file: bool) -> None:
    """By a view that came with it, or by the query."""
    database, secret = duckdb_file(tmp_path / "chats.duckdb"), tmp_path / "secret.txt"
    secret.write_text("do not train on this")
    reads = f"select content as prompt, content as completion from read_text('{secret}')"
    with duckdb.connect(database) as con:
        con.execute(f"create view rows as {reads}")
    for query in ("from rows" if of_file else reads, f"copy chats to '{tmp_path}/copy.csv'"):
        with pytest.raises(TableQueryError, match="disabled by configuration"):
            list(read_table_query(database, query))
    with pytest.raises(TableQueryError, match="locked"):
        list(read_table_query(database, "set enable_external_access = true"))
    assert not (tmp_path / "copy.csv").exists()
