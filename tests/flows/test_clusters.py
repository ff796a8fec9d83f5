"""The same recipe on threads, on Dask and on Ray: the same numbers, and no worker with a database.

Each cluster has two workers in processes of their own, started in another directory, in which
DuckDB refuses to open anything. The models are tiny and have random weights.
"""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client, LocalCluster
from prefect.testing.utilities import prefect_test_harness

from flows import measure_shards
from flows.begin_run import RunState
from flows.curate_dataset import curate_file, curate_on
from flows.recipe.check import load_recipe
from flows.runners import ClusterError, RunnerName, find_runner
from pipeline.code_version import OtherWorkerError
from pipeline.measuring import shards
from pipeline.measuring.measure import ExampleInputs, Measure
from pipeline.measuring.shard_work import MeasuredShard
from pipeline.measuring.shards import commit_measured
from storage.database import read_workspace
from storage.shard_location import find_shard_location
from storage.workspace import Workspace
from tests.moto_server import serve_s3
from tests.tiny_models import CHAT, save_tiny_llama

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("server", "one_thread")]

ROWS = 40
WORDS = 200
FEW_TOKENS = 60
"""In a shard, so that there are several."""

RECIPE: dict[str, Any] = {
    "name": "small",
    "target": "./model",
    "sources": [{"path": "rows.jsonl", "license": "CC0-1.0"}],
    "generate": [{"prompts": "all", "limit": 20, "max_new_tokens": 60}],
    "measure": {
        # Words of the rows are control tokens of the toy tokenizer.
        "tokens": {"max_tokens": 128, "control_tokens": "keep"},
        "losses": {"max_tokens": 128},
        "trajectories": {"epochs": 1, "checkpoints": 2, "batch_rows": 8, "max_tokens": 128},
    },
    "scores": ["perplexity", "ifd"],
    "select": {"steps": [{"method": "top_k", "score": "ifd", "budget": {"rows": 4}}]},
}

QUERIES = {
    "losses": "select * from losses order by example_id",
    "token_counts": "select * from token_counts order by example_id",
    "trajectories": "select * from trajectories order by example_id",
    "examples": "select example_id, messages from examples order by all",
    "scores": "select * from scores order by all",
    "selections": "select * from selection_rows order by all",
}


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """A Prefect server for all runs, and numbers that do not depend on the machine's cores."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        patched.setattr(ExampleInputs, "shard_tokens", FEW_TOKENS)
        with prefect_test_harness(server_startup_timeout=120):
            yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows and a model; a recipe for each runner is put beside them."""
    folder = tmp_path_factory.mktemp("project")
    save_tiny_llama(folder / "model", chat_template=CHAT)
    rows = [
        {"prompt": count(7 * n, 3), "completion": count(11 * n, 2 + n % 5)} for n in range(ROWS)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def count(start: int, words: int) -> str:
    return " ".join(str((start + at) % WORDS) for at in range(words))


def write_recipe(project: Path, name: str, place: str | None) -> Path:
    recipe = {**RECIPE, "workspace": f"w-{name}", "shards": place}
    (project / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return project / f"{name}.yaml"


@dataclass(frozen=True)
class Ran:
    """A workspace that a recipe was run in, and what it holds."""

    workspace: Workspace
    asked: dict[str, int]
    content: dict[str, list[tuple[Any, ...]]]


def run(
    project: Path, name: str, runner: RunnerName, cluster: str | None, place: str | None
) -> Ran:
    """Run the recipe from its own directory, so that every path in it is relative."""
    write_recipe(project, name, place)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(project)
        recipe = load_recipe(Path(f"{name}.yaml"))
        state: RunState = curate_on(runner, cluster)(recipe, ".", "select").unquote()
    workspace = Workspace(project / f"w-{name}")
    with read_workspace(workspace) as con:
        content = {each: con.execute(query).fetchall() for each, query in QUERIES.items()}
        assert con.execute("select count(*) from shards").fetchall()[0][0] > 4
    return Ran(workspace, dict(state.asked), content)


@pytest.fixture(scope="module")
def on_threads(project: Path, server: None) -> Ran:
    return run(project, "threads", "threads", None, None)


def same(ran: Ran, expected: Ran) -> None:
    """Every number, every example and every choice is the same, and all were asked for."""
    assert ran.asked == expected.asked
    assert ran.asked["answer"] == 20 and ran.asked["losses"] == len(ran.content["losses"]) > ROWS
    for name, rows in expected.content.items():
        assert ran.content[name] == rows, name
    assert ran.workspace.pending.names() == []


def refuse_databases() -> None:
    """In a worker: have DuckDB refuse to open anything, and be somewhere else than the run."""
    import duckdb

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a worker opened a database")

    duckdb.connect = refuse  # type: ignore[assignment]
    os.chdir("/")


def open_database() -> str:
    """In a worker: what happens when one is opened."""
    import duckdb

    try:
        duckdb.connect()
    except AssertionError as error:
        return str(error)
    return "opened"


@contextmanager
def dask_cluster() -> Iterator[str]:
    """Two workers in processes of their own; the address of their scheduler."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.run(refuse_databases)
        assert set(client.run(open_database).values()) == {"a worker opened a database"}
        yield cluster.scheduler_address


def test_dask_gives_the_same_with_shards_in_an_object_store(project: Path, on_threads: Ran) -> None:
    with serve_s3() as bucket, dask_cluster() as address:
        ran = run(project, "dask", "dask", address, f"{bucket}/dask")
        same(ran, on_threads)
        assert find_shard_location(ran.workspace.directory).root == f"{bucket}/dask"
        assert not (ran.workspace.directory / "measurements").exists()
        again = run(project, "dask", "dask", address, None)
        assert set(again.asked.values()) == {0}
        assert again.content == ran.content


def test_ray_gives_the_same_with_shards_in_a_shared_directory(
    project: Path, on_threads: Ran
) -> None:
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1)
    try:
        hook = {"worker_process_setup_hook": refuse_databases}
        ray.init(cluster.address, namespace="prefect", runtime_env=hook, log_to_driver=False)
        assert ray.get(ray.remote(open_database).remote()) == "a worker opened a database"
        ran = run(project, "ray", "ray", cluster.address, "shared/ray")
        same(ran, on_threads)
        assert len(list((project / "shared/ray/measurements").rglob("*.parquet"))) > 4
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_deployed_run_uses_the_cluster_and_other_code_is_refused_there(
    project: Path, on_threads: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dask_cluster() as address:
        file = write_recipe(project, "deployed", None)
        monkeypatch.setattr(shards, "code_version", lambda: "another version")
        with pytest.raises(OtherWorkerError, match="started with another version"):
            curate_file(str(file), "measure", True, "dask", address)
        monkeypatch.undo()
        curate_file(str(file), "measure", True, "dask", address)
    with read_workspace(Workspace(project / "w-deployed")) as con:
        assert con.execute(QUERIES["losses"]).fetchall() == on_threads.content["losses"]


def test_a_worker_that_is_killed_costs_nothing(
    project: Path, on_threads: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []

    with dask_cluster() as address:

        def kill_then_commit(
            workspace: Workspace, measure: Measure, measured: Sequence[MeasuredShard]
        ) -> None:
            if not killed and measure.key().measure == "losses":
                with Client(address, set_as_default=False) as client:
                    killed.append(min(client.run(os.getpid).values()))
                os.kill(killed[0], signal.SIGKILL)
            commit_measured(workspace, measure, measured)

        monkeypatch.setattr(measure_shards, "commit_measured", kill_then_commit)
        ran = run(project, "killed", "dask", address, None)
    assert killed
    same(ran, on_threads)


def test_a_cluster_without_workers_is_told(server: None) -> None:
    with (
        LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        pytest.raises(ClusterError, match="has no workers: `dask worker"),
    ):
        find_runner("dask", cluster.scheduler_address)
