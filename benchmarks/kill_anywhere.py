"""Kill a run a hundred times, and compare what the same command makes of the rest.

    python -m benchmarks.kill_anywhere

A small recipe with every stage, on a small model, is run once in peace. Then it is run again in a
fresh folder, killed with SIGKILL, and started again with the same command until it ends well; what
the workspace holds then is compared with the run in peace, table by table, file by file. Kills come
at moments of writing, spread evenly over all there are (before and after each statement, commit,
rename and removal), and at random times. A Prefect server of its own keeps the pages.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.killable import Ended, Order
from benchmarks.killed_workspace import differences, workspace_content, write_project
from benchmarks.running import RESULTS, machine_facts, write_result

RUN = ["run", "recipe.yaml"]

MOST_STARTS = 5
"""A run that was killed once must end well in the next start; more are tried to say so."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill and what came of it."""

    where: str
    """The write at which, or the second after which, it was killed."""
    starts: int
    """Until it ended well."""
    differs: list[str]
    """What of the workspace is not as in the run in peace; empty if all is well."""


class Zygote:
    """The process whose children are killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "benchmarks.killable"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.read() == "ready"

    def read(self) -> str:
        """A line of it."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, order: Order) -> Ended:
        """Have an order carried out."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(order)) + "\n")
        self.process.stdin.flush()
        return Ended(**json.loads(self.read()))

    def end(self) -> None:
        """Let it go."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Server:
    """A Prefect server."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    """In which runs find it."""


@contextlib.contextmanager
def prefect_server(home: Path) -> Iterator[Server]:
    """A server of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with (home.parent / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/api/health")
        yield Server(server, {**environment, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"})
    finally:
        server.kill()
        server.wait()


def wait_until_healthy(url: str, seconds: float = 120.0) -> None:
    """Wait for a server's health page."""
    give_up = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        if time.monotonic() > give_up:
            raise TimeoutError(f"{url} did not answer within {seconds:g} s")
        time.sleep(0.2)


class Trials:
    """Projects that are killed, and the one that is not."""

    def __init__(self, zygote: Zygote, root: Path) -> None:
        self.zygote, self.root = zygote, root
        self.folder = root / "project"
        """The same for all, because an adapter names the folder of its model."""
        (root / "as-written").mkdir()
        write_project(root / "as-written")
        self.make_afresh()
        self.peace = self.start()
        if self.peace.code:
            raise RuntimeError(self.log())
        self.expected = workspace_content(self.folder / "work")
        self.moments = (self.folder / "log.moments").read_text().splitlines()

    def make_afresh(self) -> None:
        """Have a project that has not run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.root / "as-written", self.folder)

    def start(self, moment: int = 0, seconds: float = 0.0) -> Ended:
        """Run the recipe, and kill it there."""
        log = str(self.folder / "log.txt")
        return self.zygote.run(Order(str(self.folder), RUN, log, moment, seconds))

    def log(self) -> str:
        """The end of what the runs said."""
        return (self.folder / "log.txt").read_text()[-2000:]

    def kill(self, moment: int = 0, seconds: float = 0.0) -> Kill:
        """Kill a run once; start it again until it ends well; compare."""
        where = self.moments[moment - 1] if moment else f"after {seconds:.2f} s"
        self.make_afresh()
        ended = self.start(moment, seconds)
        starts = 1
        while ended.code and starts < MOST_STARTS:
            ended = self.start()
            starts += 1
        if ended.code:
            return Kill(where, starts, [self.log()])
        differs = differences(workspace_content(self.folder / "work"), self.expected)
        return Kill(where, starts, differs)


def choose_moments(count: int, wanted: int) -> list[int]:
    """Moments from 1 to count, evenly spread."""
    wanted = min(count, wanted)
    return sorted({1 + place * (count - 1) // max(1, wanted - 1) for place in range(wanted)})


def kill_anywhere(
    root: Path, environment: dict[str, str], at_writes: int, at_random: int
) -> tuple[Trials, list[Kill]]:
    """Kill at so many moments of writing, and at so many random times."""
    zygote = Zygote(environment)
    try:
        trials = Trials(zygote, root)
        kills = []
        for moment in choose_moments(len(trials.moments), at_writes):
            kills.append(trials.kill(moment=moment))
            tell(kills)
        drawn = random.Random(0)
        for _ in range(at_random):
            kills.append(trials.kill(seconds=drawn.uniform(0.05, trials.peace.seconds)))
            tell(kills)
        return trials, kills
    finally:
        zygote.end()


def tell(kills: Sequence[Kill]) -> None:
    """Say how the last one went."""
    last = kills[-1]
    picked = f"differs in {', '.join(last.differs)}" if last.differs else "the same"
    sys.stderr.write(f"{len(kills)}: {last.where}: {last.starts} starts, {picked}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Kill a run anywhere, and compare.")
    parser.add_argument("--at-writes", type=int, default=70)
    parser.add_argument("--at-random", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS / "kill_anywhere.json")
    options = parser.parse_args(arguments)
    machine = machine_facts(["duckdb", "prefect"])
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "home").mkdir()
        with prefect_server(Path(name) / "home") as server:
            trials, kills = kill_anywhere(
                Path(name), server.environment, options.at_writes, options.at_random
            )
    broken = [asdict(kill) for kill in kills if kill.differs]
    result = {
        "machine": machine,
        "moments_of_writing": len(trials.moments),
        "seconds_in_peace": round(trials.peace.seconds, 1),
        "compared": {"tables_and_views_and_files": len(trials.expected)},
        "kills": len(kills),
        "killed_at_moments_of_writing": min(options.at_writes, len(trials.moments)),
        "ended_well_at_the_second_start": sum(kill.starts <= 2 for kill in kills),
        "differ": broken,
    }
    write_result(options.out, result)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
