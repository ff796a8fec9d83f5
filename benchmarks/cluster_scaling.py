"""How much of n workers' time a run on a Dask cluster uses: a stub that sleeps for the model.

    python benchmarks/cluster_scaling.py [--workers 1 2 4 8 16] [--out FILE]

For each number of workers a Dask cluster of so many processes is started on this machine, and one
measure is done as a run does it: cut, sent as Prefect tasks, and committed to DuckDB, with a
Prefect server that keeps every task. A shard sleeps for some seconds, as if a GPU computed it, so
that n workers need no n cores. Efficiency is the time that the sleeping alone takes n workers, over
the time that it took. Workers have done a task each before the clock starts.

All of it shares one machine, the scheduler, the server and the workers' own bookkeeping included:
on few cores that, and not the flow, is what many workers wait for.
"""

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bookkeeping import ingest
from benchmarks.running import RESULTS, machine_facts, run_python, write_result
from benchmarks.sleeping_losses import ROW_TOKENS, SleepingLosses
from storage.database import read_workspace
from storage.examples import read_pool
from storage.workspace import Workspace

SERVER_SECONDS = 120
"""For the Prefect server to be ready."""


@contextmanager
def prefect_server(home: Path) -> Iterator[None]:
    """A Prefect server with a database of its own; the environment leads every client to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    os.environ |= {
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log)
    try:
        wait_for(f"{url}/health")
        yield
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str) -> None:
    """Wait until something answers.

    Raises:
        TimeoutError: if nothing does in time.
    """
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"nothing answered at {url} for {SERVER_SECONDS} s")


def slept_seconds(workspace: Workspace, rows: int) -> float:
    """What the shards slept together; every row must have been measured once."""
    with read_workspace(workspace) as con:
        joined = "join measures using (measure_key) where model = 'measured'"
        counted = f"select count(*), count(distinct example_id) from losses {joined}"
        assert con.execute(counted).fetchall() == [(rows, rows)]
        ((slept,),) = con.execute(f"select sum(seconds) from shards {joined}").fetchall()
    return float(slept)


def measure_on(workers: int, shards: int, seconds: float) -> dict[str, float]:
    """Do one measure on a cluster of so many workers.

    Args:
        workers: processes, of one thread each.
        shards: for each worker.
        seconds: that each shard sleeps.
    """
    from distributed import LocalCluster
    from prefect import flow

    from flows.measure_shards import measure_job
    from flows.runners import find_runner
    from pipeline.measuring.measure import MeasureJob

    with tempfile.TemporaryDirectory() as directory:
        rows = workers * shards * SleepingLosses.shard_tokens // ROW_TOKENS
        ingest(Path(directory), rows)
        workspace = Workspace(Path(directory) / "w")
        with read_workspace(workspace) as con:
            sources = [row[0] for row in con.execute("select source_id from sources").fetchall()]
            pool = read_pool(con, sources)

        def do(name: str, wait: float, ids: Sequence[str]) -> float:
            measure = SleepingLosses(name=name, seconds=wait)
            started = time.perf_counter()
            measure_job(
                workspace, "scaling", name, MeasureJob(measure, ids, len(ids)), measure.key()
            )
            return time.perf_counter() - started

        with LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster:
            runner = find_runner("dask", cluster.scheduler_address)

            @flow(name="scaling", task_runner=runner, persist_result=False)
            def scale() -> float:
                do("warm-up", 1.0, pool[: 2 * workers * SleepingLosses.shard_tokens // ROW_TOKENS])
                return do("measured", seconds, pool)

            wall = scale()
        done = round(slept_seconds(workspace, rows) / seconds)
    ideal = math.ceil(done / workers) * seconds
    return {
        "workers": workers,
        "shards": done,
        "seconds_a_shard": seconds,
        "ideal_seconds": ideal,
        "wall_seconds": round(wall, 1),
        "efficiency": round(ideal / wall, 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="How much of n workers' time a run uses.")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--shards", type=int, default=10, help="for each worker")
    parser.add_argument("--seconds", type=float, default=4.0, help="that a shard sleeps")
    parser.add_argument("--out", type=Path, default=RESULTS / "cluster_scaling.json")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        result = measure_on(options.measure, options.shards, options.seconds)
        sys.stdout.write(json.dumps(result))
        return 0
    machine = machine_facts(["dask", "distributed", "duckdb", "prefect", "prefect-dask"])
    sizes = []
    with tempfile.TemporaryDirectory() as home, prefect_server(Path(home)):
        for workers in options.workers:
            settings = ["--shards", str(options.shards), "--seconds", str(options.seconds)]
            usage = run_python([__file__, "--measure", str(workers), *settings])
            busy = {"load_average_1_min": round(os.getloadavg()[0], 1)}
            sizes.append({**json.loads(usage.output), **busy})
            sys.stderr.write(f"{json.dumps(sizes[-1])}\n")
    write_result(options.out, {"sizes": sizes, "machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
