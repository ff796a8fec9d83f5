"""One instance of DuckDB for many openings: nothing of one is left to the next, or in the way."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from storage import duckdb_instance
from storage.database import Connection
from storage.duckdb_instance import attached, in_little_memory

READS = "import sys, duckdb; print(duckdb.connect(sys.argv[1]).execute('from t').fetchall())"


@pytest.fixture(autouse=True)
def no_instance() -> None:
    duckdb_instance.IDLE.clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with attached(tmp_path / "it's.duckdb", read_only=False) as con:
        con.execute("create table t as select 7 as n")
    return tmp_path / "it's.duckdb"


def numbers(con: Connection) -> list[int]:
    return [n for (n,) in con.execute("select n from t order by n").fetchall()]


def test_the_next_file_is_opened_by_the_same_instance_and_is_another(
    file: Path, tmp_path: Path
) -> None:
    (kept,) = duckdb_instance.IDLE
    with attached(tmp_path / "other.duckdb", read_only=False) as con:
        assert list(duckdb_instance.BUSY.values()) == [kept]
        assert con.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]
    with attached(file, read_only=True) as con:
        assert numbers(con) == [7]
    assert [kept] == duckdb_instance.IDLE and not duckdb_instance.BUSY


def test_another_process_writes_between_two_openings(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READS, str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[(7,)]\n"  # the instance that wrote it lives, without its lock
    with attached(file, read_only=False):
        done = subprocess.run(
            [sys.executable, "-c", READS, str(file)], capture_output=True, text=True, check=False
        )
    assert "lock" in done.stderr


def test_what_was_written_is_in_the_file_and_not_in_its_log(file: Path) -> None:
    assert [path.name for path in file.parent.iterdir()] == ["it's.duckdb"]


def test_two_that_have_one_file_open_see_each_other_and_end_apart(file: Path) -> None:
    with attached(file, read_only=False) as outer:
        with attached(file, read_only=False) as inner:
            inner.execute("insert into t values (8)")
        assert numbers(outer) == [7, 8]
        (instance,) = duckdb_instance.BUSY.values()
        assert instance.users == 1
    assert not duckdb_instance.BUSY


def test_two_files_at_once_are_two_instances(file: Path, tmp_path: Path) -> None:
    with attached(file, read_only=True) as con, attached(tmp_path / "b", read_only=False) as other:
        other.execute("create table t as select 9 as n")
        assert (numbers(con), numbers(other)) == ([7], [9])
    assert len(duckdb_instance.IDLE) == 1


def test_to_read_and_to_write_at_once_is_refused_and_does_no_harm(file: Path) -> None:
    with attached(file, read_only=True) as con:
        refused = pytest.raises(duckdb.BinderException, match="READ_ONLY mode")
        with refused, attached(file, read_only=False):
            pass
        assert numbers(con) == [7]


def test_temporary_tables_and_an_open_transaction_end_with_the_opening(file: Path) -> None:
    with attached(file, read_only=False) as con:
        con.execute("create temporary table passing as select 1")
        con.begin()
        con.execute("insert into t values (8)")
    with attached(file, read_only=True) as con:
        assert numbers(con) == [7]
        with pytest.raises(duckdb.CatalogException, match="passing"):
            con.execute("from passing")


def test_an_instance_that_met_an_error_is_not_used_again(file: Path) -> None:
    with pytest.raises(KeyboardInterrupt), attached(file, read_only=True):
        raise KeyboardInterrupt
    assert not duckdb_instance.IDLE and not duckdb_instance.BUSY
    with attached(file, read_only=True) as con:
        assert numbers(con) == [7]


def test_one_that_waits_for_a_file_keeps_its_instance(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)
    (kept,) = duckdb_instance.IDLE
    with pytest.raises(duckdb.IOException), attached(file, read_only=True):
        pass
    assert [kept] == duckdb_instance.IDLE and not duckdb_instance.BUSY


def test_what_is_too_large_for_memory_lies_beside_its_file_and_goes(file: Path) -> None:
    with attached(file, read_only=True) as con:
        con.execute("set memory_limit = '60MB'")
        con.execute(
            "create temporary table large as select range, md5(range::varchar) from range(1500000)"
        )
        con.execute("select count(*) from (select * from large order by all)").fetchall()
        assert list(file.parent.glob("it's.duckdb.tmp/*"))
    assert [path.name for path in file.parent.iterdir()] == ["it's.duckdb"]


def test_a_fork_gets_no_instance_without_threads(file: Path) -> None:
    assert duckdb_instance.IDLE
    child = os.fork()
    if child == 0:
        os._exit(len(duckdb_instance.IDLE) + duckdb_instance.LOCK.locked())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not duckdb_instance.LOCK.locked()


def test_times_are_utc_in_each_opening(file: Path) -> None:
    for _ in range(2):
        with attached(file, read_only=True) as con:
            assert con.execute("select current_setting('timezone')").fetchall() == [("UTC",)]


def test_duckdb_keeps_less_in_memory_for_a_while(tmp_path: Path) -> None:
    asked = "select current_setting('memory_limit')"
    with attached(tmp_path / "a.duckdb", read_only=False) as con:
        with in_little_memory(con):
            assert con.execute(asked).fetchall() == [("256.0 MiB",)]
        assert con.execute(asked).fetchall() != [("256.0 MiB",)]
        with pytest.raises(ValueError, match="no"), in_little_memory(con):
            raise ValueError("no")
        assert con.execute(asked).fetchall() != [("256.0 MiB",)]


@pytest.mark.parametrize("times", [1, 2])
def test_after_that_it_has_as_much_as_before(
    file: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_instance, "BUFFER_BYTES", 2**24)
    joined = "select length(string_agg(repeat('x', 1000000) || n, '')) from range(60) t(n)"
    with attached(file, read_only=False) as con:
        for _ in range(times):
            with in_little_memory(con):
                assert numbers(con) == [7]
        assert con.execute(joined).fetchall() == [(60_000_110,)]
    with attached(file, read_only=True) as con:  # the same instance
        assert con.execute(joined).fetchall() == [(60_000_110,)]
