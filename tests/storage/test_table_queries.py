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
    with pytest.raises(TableQueryError, match="readonly"):
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
