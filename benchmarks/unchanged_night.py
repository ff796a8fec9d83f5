"""A night on which nothing is new, and what of its CPU-seconds is whose.

    python benchmarks/unchanged_night.py [--rows 5000] [--repeats 3] [--out FILE]

The rows and the recipe of `data_path.py` are taken to the export, then the same command is run
again, without a Prefect server: it starts a temporary one. Reported are the medians of the whole
command; of the server, which is a process of its own; of importing what the flow needs of Prefect,
and the server's module, which Prefect's client imports to start it; of the same stages as plain
calls, which is what is ours, the imports of our own included; and of the same command beside a
server that is there already, as nights mostly are, without what that server spends.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.cluster_scaling import prefect_server
from benchmarks.data_path import write_inputs
from benchmarks.running import RESULTS, machine_facts, run_python, write_result

COMMAND = """
import atexit, json, resource, sys
from flows.cli.main import main

def tell():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps(used.ru_utime + used.ru_stime), file=open(sys.argv[-1] + ".server", "w"))

atexit.register(tell)  # first, so that it is called last: the server has ended by then
sys.argv[1:] = ["export", sys.argv[1]]
main()
"""

IMPORTS = {
    "importing prefect": "from prefect import flow, task",
    "importing prefect's server": "from prefect.server.api.server import SubprocessASGIServer",
}

NOTHING = "pass"


def night(recipe: Path) -> tuple[float, float]:
    """CPU-seconds of the command, its server's included, and of the server."""
    used = run_python(["-c", COMMAND, recipe])
    return used.cpu_seconds, float(json.loads(Path(f"{recipe}.server").read_text()))


def median(take: Callable[[], float], repeats: int) -> float:
    """The median of a figure that is taken several times."""
    return round(statistics.median(take() for _ in range(repeats)), 2)


def imports(repeats: int) -> dict[str, float]:
    """CPU-seconds of each import behind the one before it."""
    before, found, lines = median(lambda: cpu_of(NOTHING), repeats), {}, ""
    for name, line in IMPORTS.items():
        lines += f"{line}\n"
        whole = median(lambda lines=lines: cpu_of(lines), repeats)  # type: ignore[misc]
        found[name], before = round(whole - before, 2), whole
    return found


def cpu_of(code: str) -> float:
    """CPU-seconds of a process that does this."""
    return run_python(["-c", code]).cpu_seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="A night on which nothing is new.")
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "unchanged_night.json")
    options = parser.parse_args(arguments)
    os.environ.pop("PREFECT_API_URL", None)
    machine = machine_facts(["duckdb", "prefect"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, options.rows)
        recipe = folder / "recipe.json"
        night(recipe)
        nights = [night(recipe) for _ in range(options.repeats)]
        plain: list[str | Path] = ["-m", "benchmarks.plain_run", recipe]
        ours = median(lambda: run_python(plain).cpu_seconds, options.repeats)
        home = folder / "prefect"
        home.mkdir()
        with prefect_server(home):
            night(recipe)
            beside = median(lambda: night(recipe)[0], options.repeats)
    cpu_seconds = {
        "command": round(statistics.median(whole for whole, _ in nights), 2),
        "of it the temporary server": round(statistics.median(server for _, server in nights), 2),
        **imports(options.repeats),
        "the stages as plain calls": ours,
        "command beside a server": beside,
    }
    found = {"rows": options.rows, "cpu_seconds": cpu_seconds}
    write_result(options.out, found | {"machine": machine})
    return 0


if __name__ == "__main__":
    sys.exit(main())
