"""What can go from a workspace, and that nothing else does."""

import json
import os
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.upkeep import leftovers
from pipeline.upkeep.leftovers import Leftover, RemovalOptions, find_leftovers, remove_leftovers
from storage.database import open_tables, open_workspace, read_tables, read_workspace
from storage.measurements import MeasureKey, add_measure, commit_shards
from storage.retention import write_run_measures
from storage.runs import finish_run
from storage.selections import write_trial
from storage.workspace import Workspace
from tests.exported_workspace import export_workspace

ALL = RemovalOptions(lost=True, requests=True, backups=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run, _ = export_workspace(folder)
    with open_workspace(run.workspace) as con:
        write_run_measures(con, run.run_id, run.measures)
        finish_run(con, run.run_id)
    return folder


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(made, tmp_path / "copy")) / "workspace")


def find(workspace: Workspace, wanted: RemovalOptions) -> dict[str, Leftover]:
    with read_tables(workspace) as con:
        return {each.kind: each for each in find_leftovers(con, workspace, wanted)}


def put(path: Path, content: str = "12345") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def tree(workspace: Workspace) -> set[str]:
    """Every file but the database, which a connection may touch."""
    files = (path for path in workspace.directory.rglob("*") if path.is_file())
    return {str(p.relative_to(workspace.directory)) for p in files if "duckdb" not in p.name}


def test_a_workspace_without_leftovers_has_none(workspace: Workspace) -> None:
    before = tree(workspace)
    assert find(workspace, ALL) == {}
    assert remove_leftovers(workspace, ALL) == [] and tree(workspace) == before


def test_every_kind_is_found_counted_and_removed_and_nothing_else(workspace: Workspace) -> None:
    before = tree(workspace)
    dead = 2**22 + 1  # above the highest number that Linux gives a process
    measured = Path(workspace.measurements.root) / "m" / "k"
    alive = put(measured / f".b.parquet.{os.getpid()}.partial")
    kinds = {
        "pending": put(Path(workspace.pending.root) / "k" / "a.parquet"),
        "partial": put(
            Path(workspace.measurements.root) / "m" / "k" / f".a.parquet.{dead}.partial"
        ),
        "partial exports": put(workspace.exports / ".x.partial" / "data" / "train-00000"),
        "unnamed measurements": put(
            Path(workspace.measurements.root) / "m" / "k" / "merged-1.parquet"
        ),
        "requests": put(workspace.requests / "aa" / "ab" / "abc.json"),
        "backups": put(workspace.directory / "workspace.duckdb.before-migration-3"),
    }
    found = find(workspace, ALL)
    assert set(found) == set(kinds)
    assert all((each.files, each.bytes) == (1, 5) for each in found.values())
    assert all(path.exists() for path in kinds.values()), "finding removes nothing"
    assert {"requests", "backups"}.isdisjoint(find(workspace, RemovalOptions()))
    remove_leftovers(workspace, ALL)
    assert not any(path.exists() for path in kinds.values())
    assert alive.exists()
    alive.unlink()
    assert tree(workspace) == before


def test_only_finished_trainings_are_tidied(workspace: Workspace) -> None:
    done, going_on = (workspace.models / name for name in ("adapter-done", "adapter-going-on"))
    for folder in (done, going_on):
        put(folder / "checkpoints" / "checkpoint-1" / "state")
        put(folder / "rows" / "cache.arrow")
        put(folder / "adapter" / "adapter_model.safetensors")
    with open_workspace(workspace) as con:
        write_trial(con, "t", "x", "models/adapter-done", ({}, None))
    remove_leftovers(workspace, RemovalOptions())
    assert sorted(path.name for path in done.iterdir()) == ["adapter"]
    assert len(list(going_on.rglob("*"))) == 7


def store_trajectories(workspace: Workspace, pool: str, learnt: list[str], seed: int = 0) -> Path:
    """A finished training with its checkpoint; returns the checkpoint's folder."""
    key = MeasureKey("trajectories", "proxy", "f", "t", {"pool": pool, "seed": seed})
    path = f"trajectories/{key.measure_key}/a.parquet"
    n = len(learnt)
    columns = {"example_id": learnt, "measure_key": [key.measure_key] * n, "state": ["ok"] * n}
    table = pa.table({**columns, "detail": [""] * n, "trained": [True] * n})
    workspace.measurements.write(path, table)
    with open_workspace(workspace) as con:
        add_measure(con, key)
        commit_shards(con, workspace, key, [(path, 1.0)])
    folder = workspace.models / "proxies" / key.measure_key
    put(folder / "key.json", json.dumps({"key": "k", "steps": [1]}))
    put(folder / "losses-00000001.npy")
    put(folder / "model-00000001" / "config.json")
    return folder / "model-00000001"


def test_a_proxy_is_superseded_by_one_that_learnt_the_same_rows_and_more(
    workspace: Workspace,
) -> None:
    small = store_trajectories(workspace, "p1", ["a", "b"])
    other_rows = store_trajectories(workspace, "p2", ["a", "z"])
    other_seed = store_trajectories(workspace, "p1", ["a", "b"], seed=1)
    assert find(workspace, RemovalOptions()) == {}
    large = store_trajectories(workspace, "p3", ["a", "b", "c"])
    twin = store_trajectories(workspace, "p4", ["a", "b", "c"])
    (found,) = remove_leftovers(workspace, RemovalOptions())
    assert found.kind == "proxies"
    assert not small.exists() and other_rows.exists() and other_seed.exists()
    assert large.exists() != twin.exists(), "of two that learnt the same one stays"
    assert (small.parent / "losses-00000001.npy").exists()


def test_unused_measurements_leave_the_tables_before_their_files_go(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = RemovalOptions(unused_since=date(2100, 1, 1))
    assert "unused measurements" not in find(
        workspace, RemovalOptions(unused_since=date(2000, 1, 1))
    )
    found = find(workspace, since)["unused measurements"]
    (measure,) = found.unused
    assert (measure.measure, measure.rows, found.files) == ("token_counts", 16, 1)

    def killed(path: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(leftovers, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_leftovers(workspace, since)
    with read_workspace(workspace) as con:
        assert con.execute("select count(*) from token_counts").fetchall() == [(0,)]
    assert found.paths[0].exists()
    again = find(workspace, RemovalOptions())
    assert again["unnamed measurements"].paths == found.paths
    remove_leftovers(workspace, RemovalOptions())
    assert not found.paths[0].exists()


def test_measurements_of_an_older_version_are_never_unused(workspace: Workspace) -> None:
    with open_tables(workspace) as con:
        con.execute("delete from run_measures")
    assert find(workspace, RemovalOptions(unused_since=date(2100, 1, 1))) == {}


def test_a_lost_file_is_forgotten_only_where_that_is_asked_for(workspace: Workspace) -> None:
    (name,) = workspace.measurements.names()
    workspace.measurements.remove(name)
    assert find(workspace, replace(ALL, lost=False)) == {}
    assert [p.name for p in find(workspace, ALL)["lost measurements"].paths] == [name]
    remove_leftovers(workspace, ALL)
    with read_workspace(workspace) as con:
        assert con.execute("select count(*) from shards").fetchall() == [(0,)]
