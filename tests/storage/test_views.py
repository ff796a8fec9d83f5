"""A view of measurements says which file it misses, and what to do."""

from pathlib import Path

import pyarrow as pa
import pytest

from storage.database import open_workspace, read_tables, read_workspace
from storage.measurements import MeasureKey, add_measure, commit_shards
from storage.parquet import write_parquet
from storage.views import LostMeasurementsError
from storage.workspace import Workspace


def test_a_file_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    path = workspace.measurements / "losses" / "k" / "a.parquet"
    columns = {"example_id": ["e"], "measure_key": ["k"], "state": ["ok"], "detail": [""]}
    write_parquet(path, pa.table(columns))
    key = MeasureKey("losses", "m", "f", "t", {})
    with open_workspace(workspace) as con:
        add_measure(con, key)
        commit_shards(con, workspace, key, [(path, 1.0)])
    path.unlink()
    message = r"1 files of losses are gone, .*a\.parquet among them.*sluice gc --lost -w"
    for way_in in (open_workspace, read_workspace):
        with pytest.raises(LostMeasurementsError, match=message), way_in(workspace):
            pass
    with read_tables(workspace) as con:
        assert con.execute("select rows from shards").fetchall() == [(1,)]
