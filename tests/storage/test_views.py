"""Views: right after a commit and after a move, and left alone while they are right."""

from pathlib import Path

import pyarrow as pa
import pytest

from storage.database import open_tables, open_workspace, read_tables, read_workspace
from storage.measurements import MeasureKey, add_measure, commit_shards
from storage.views import (
    LostMeasurementsError,
    columns_of,
    declare_measures,
    relation_of,
)
from storage.workspace import Workspace

KEY = MeasureKey("losses", "m", "fingerprint", "template", {"version": 1})
DECLARED = {
    "losses": [pa.field("mean_nll", pa.float64()), pa.field("nll", pa.list_(pa.float16()))],
    "samples": [pa.field("answers", pa.list_(pa.string()))],
}
TEMPORARY = "select view_name from duckdb_views() where temporary and not internal order by all"


def store(workspace: Workspace, name: str, views: bool = True) -> None:
    """Commit a file with one row, whose id is the file's name."""
    path = f"losses/{KEY.measure_key}/{name}.parquet"
    row = {"example_id": name, "measure_key": KEY.measure_key, "state": "ok", "detail": ""}
    workspace.measurements.write(path, pa.Table.from_pylist([{**row, "mean_nll": 1.0}]))
    with open_workspace(workspace, views=views) as con:
        add_measure(con, KEY)
        commit_shards(con, workspace, KEY, [(path, 1.0)])


def read(workspace: Workspace) -> tuple[list[str], list[str]]:
    """The ids of the losses, and the views that had to be defined to read them."""
    with read_workspace(workspace) as con:
        rows = con.execute("select example_id from losses order by all").fetchall()
        also = con.execute("select example_id from measurements order by all").fetchall()
        defined = [name for (name,) in con.execute(TEMPORARY).fetchall()]
    assert also == rows
    return [example_id for (example_id,) in rows], defined


@pytest.mark.parametrize("views", [True, False])
def test_a_view_shows_what_was_committed_and_is_defined_once(tmp_path: Path, views: bool) -> None:
    workspace = Workspace(tmp_path / "w")
    with open_workspace(workspace) as con:
        declare_measures(con, DECLARED)
    assert read(workspace) == ([], [])
    store(workspace, "a", views)
    store(workspace, "b", views)
    assert read(workspace) == (["a", "b"], ["losses"])  # no one may write while it is read
    with open_workspace(workspace):
        pass
    assert read(workspace) == (["a", "b"], [])


def test_a_workspace_that_was_moved_is_read_where_it_is(tmp_path: Path) -> None:
    store(Workspace(tmp_path / "w"), "a")
    with open_workspace(Workspace(tmp_path / "w")):
        pass
    (tmp_path / "w").rename(tmp_path / "moved")
    assert read(Workspace(tmp_path / "moved")) == (["a"], ["losses"])


def test_a_file_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    store(workspace, "a")
    store(workspace, "b")
    workspace.measurements.remove(f"losses/{KEY.measure_key}/a.parquet")
    message = r"1 files of measurements are gone, .*a\.parquet among them.*sluice gc --lost -w"
    for way_in in (open_workspace, read_workspace):
        with pytest.raises(LostMeasurementsError, match=message), way_in(workspace):
            pass
    with read_tables(workspace) as con:
        assert con.execute("select rows from shards").fetchall() == [(1,), (1,)]


def test_a_declared_measure_has_columns_until_it_has_files(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    with open_workspace(workspace) as con:
        for _ in range(2):
            declare_measures(con, DECLARED)
        assert columns_of(con, "losses")[4:] == ["mean_nll", "nll"]
        assert con.execute("select mean_nll + 1, nll[1] from losses").fetchall() == []
        assert con.execute("select * from measurements").fetchall() == []
    store(workspace, "a")
    with open_workspace(workspace) as con:
        declare_measures(con, DECLARED)  # what is stored is not hidden by it
        assert con.execute("select mean_nll from losses").fetchall() == [(1.0,)]
        assert con.execute("select measure from measurements").fetchall() == [("losses",)]
        assert columns_of(con, "samples")[4:] == ["answers"]


def test_a_measure_whose_files_were_all_removed_is_empty(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    store(workspace, "a")
    with open_workspace(workspace):
        pass
    assert read(workspace) == (["a"], [])
    with open_tables(workspace) as con:
        con.execute("delete from shards")
    workspace.measurements.remove(f"losses/{KEY.measure_key}/a.parquet")
    assert read(workspace)[0] == []
    with open_workspace(workspace) as con:
        assert con.execute("select * from losses").fetchall() == []


def test_a_measure_that_was_never_declared_is_read_as_nothing(tmp_path: Path) -> None:
    with open_workspace(Workspace(tmp_path / "w")) as con:
        assert columns_of(con, "embeddings") == []
        assert con.execute(f"select * from {relation_of(con, 'embeddings')}").fetchall() == []
