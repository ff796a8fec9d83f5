"""What a typed query can reach: the workspace, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import duckdb_instance
from storage.database import Connection, QueryError, open_workspace, read_workspace
from storage.guarded_queries import guarded_workspace, run_query, stream_query
from storage.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace, a file in the folder of its shards, and one beside it."""
    place = Workspace(tmp_path / "w")
    with open_workspace(place):
        pass
    for folder in (Path(place.measurements.root), tmp_path):
        folder.mkdir(exist_ok=True, parents=True)
        pq.write_table(pa.table({"a": [42]}), folder / "some.parquet")
    return place


@pytest.fixture
def con(workspace: Workspace) -> Iterator[Connection]:
    with guarded_workspace(workspace) as opened:
        yield opened


def shard(workspace: Workspace) -> str:
    return f"{workspace.measurements.root}/some.parquet"


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) as n from runs",
        "from runs",
        "with r as (from runs) select count(*) from r",
        "describe runs",
        "show tables",
        "summarize select 1",
        "explain select * from runs",
        "explain analyze select * from runs",
        "explain (analyze, format json) select * from runs",
        "pivot (select 1 as a, 2 as b) on a using sum(b)",
        "select 1; select 2",
    ],
)
def test_queries_that_read_the_workspace_are_answered(con: Connection, query: str) -> None:
    columns, _ = run_query(con, query)
    assert columns


def test_files_of_the_workspace_are_read(workspace: Workspace, con: Connection) -> None:
    assert run_query(con, f"select * from '{shard(workspace)}'") == (["a"], [(42,)])


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_parquet('{outside}')",
        "select * from read_text('/etc/hostname')",
        "select * from read_text('{shards}/../../../etc/hostname')",
        "select * from glob('/etc/*')",
        "select * from sniff_csv('/etc/hostname')",
        "select * from read_csv('https://example.org/a.csv')",
        "select * from '{outside}'",
    ],
)
def test_files_and_servers_outside_are_out_of_reach(
    workspace: Workspace, con: Connection, query: str, tmp_path: Path
) -> None:
    written = query.format(outside=tmp_path / "some.parquet", shards=workspace.measurements.root)
    with pytest.raises(QueryError, match=r"disabled by configuration|httpfs"):
        run_query(con, written)


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{shard}' (use_tmp_file false)",
        "explain analyze copy (select 1) to '{shard}' (use_tmp_file false)",
        "explain (analyze) copy (select 1) to '{shard}' (use_tmp_file false)",
        "copy (select 1) to '/tmp/x.csv'",
        "export database '/tmp/x'",
        "attach '/tmp/x.duckdb'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "create table memory.main.x as select 1",
        "insert into runs select * from runs",
        "delete from runs",
        "drop view measurements",
        "prepare p as select 1",
        "call pragma_version()",
        "select 1; drop table runs",
        "vacuum",
        "checkpoint",
    ],
)
def test_what_does_more_than_read_is_refused_before_it_runs(
    workspace: Workspace, con: Connection, statement: str
) -> None:
    before = Path(shard(workspace)).read_bytes()
    for ask in (run_query, stream_query):
        with pytest.raises(QueryError, match="is read-only"):
            ask(con, statement.format(shard=shard(workspace)))
    assert Path(shard(workspace)).read_bytes() == before


def test_what_is_no_sql_is_told_with_what_duckdb_says(con: Connection) -> None:
    with pytest.raises(QueryError, match="syntax error"):
        run_query(con, "selekt 1")
    with pytest.raises(QueryError, match="does not exist"):
        run_query(con, "select * from nothing")


def test_a_guarded_instance_is_not_used_again(workspace: Workspace) -> None:
    with guarded_workspace(workspace):
        pass
    assert duckdb_instance.IDLE == []
    with read_workspace(workspace) as con:
        locked = con.execute("select current_setting('lock_configuration')").fetchall()
    assert locked == [(False,)] and len(duckdb_instance.IDLE) == 1
