"""Breaks the orchestration on purpose, one small fault at a time, and asks the tests of each.

    make mutants            or: python -m benchmarks.mutate --mutants 60 --seed 1

A mutant has one of the faults of benchmarks/faults.py. The tests that stand for its file have to
fail with it, or to take longer than they may; that they pass without it, `make test` says before.
Prints each mutant with its line before and after and what killed it, and exits with 1 if one
survived. It works on copies of the tree. The same seed draws the same mutants of lines that are the
same, so that those that survived can be tried again beside the tests that are new.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue

from benchmarks.faults import find_faults
from benchmarks.mutated import EQUIVALENT, MODULES, ROOT, tests_of
from benchmarks.running import RESULTS, machine_facts, write_result

SAID = ".tests-said"
"""Where the tests of a mutant print."""

PRELOADED = [
    *("duckdb", "faiss", "hypothesis", "matplotlib.pyplot", "numpy", "polars", "pyarrow.parquet"),
    *("pydantic", "pytest", "scipy.stats", "torch", "transformers", "typer"),
]
"""Imported once, not for each mutant."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    path: str
    source: bytes
    changed: bytes
    """The file with the change."""
    place: str
    """Path and number of the line."""
    before: str
    """The line."""
    after: str
    """The line as it is changed."""

    def draw(self, seed: int) -> bytes:
        """What decides whether it is drawn: a change of another line does not change that."""
        return sha256("\n".join((str(seed), self.path, self.before, self.after)).encode()).digest()


def all_mutants() -> list[Mutant]:
    """Every mutant of the modules that a test could tell from the right code."""
    paths = sorted({path for pattern in MODULES for path in ROOT.glob(pattern)})
    found = [mutant for path in paths for mutant in mutants_of(path)]
    return [mutant for mutant in found if (mutant.path, mutant.after) not in EQUIVALENT]


def mutants_of(file: Path) -> list[Mutant]:
    """Every mutant of one file."""
    source, path, found = file.read_bytes(), str(file.relative_to(ROOT)), []
    lines = source.decode().splitlines()
    for start, end, text in find_faults(source):
        changed = source[:start] + text.encode() + source[end:]
        number = source.count(b"\n", 0, start)
        after = changed.decode().splitlines()[number].strip()
        place = f"{path}:{number + 1}"
        found.append(Mutant(path, source, changed, place, lines[number].strip(), after))
    return found


def copy_tree(directory: Path) -> Path:
    """The files of the tree as they are now, those that are not committed too."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, names)):
        if (ROOT / name).exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)
    return directory


def run_tests(directory: str, tests: Sequence[str]) -> None:
    """Run tests in a copy of the tree, and end the process with what pytest says."""
    import pytest

    os.chdir(directory)
    os.environ |= {"PYTHONPATH": directory, "OMP_NUM_THREADS": "1"}
    sys.path.insert(0, directory)
    with open(SAID, "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
        sys.exit(int(pytest.main([*options, *tests])))


def find_killer(mutant: Mutant, directory: Path, seconds: float) -> str | None:
    """What a mutant fails at in a copy of the tree, which is then as before; None if it passes."""
    file = directory / mutant.path
    file.write_bytes(mutant.changed)
    process = multiprocessing.get_context("forkserver").Process(
        target=run_tests, args=(str(directory), tests_of(mutant.path))
    )
    process.start()
    process.join(seconds)
    late = process.is_alive()
    process.kill()
    process.join()
    file.write_bytes(mutant.source)
    if process.exitcode == 0:
        return None
    told = [] if late else (directory / SAID).read_text().splitlines()
    failed = [line.split()[1] for line in told if line.startswith(("FAILED", "ERROR"))]
    return (
        failed[-1] if failed else "the time that it took" if late else "pytest, which did not run"
    )


def try_all(mutants: Sequence[Mutant], copies: Sequence[Path], seconds: float) -> int:
    """Try mutants, as many at once as there are copies, and tell of each; how many survived."""
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def survives(mutant: Mutant) -> bool:
        copy = free.get()
        killer = find_killer(mutant, copy, seconds)
        free.put(copy)
        word = f"killed by {killer}" if killer else "SURVIVED"
        say(f"{mutant.place}: {word}\n    {mutant.before}\n    {mutant.after}")
        return killer is None

    with ThreadPoolExecutor(len(copies)) as pool:
        return sum(pool.map(survives, mutants))


def write_down(path: Path, seed: int, counts: tuple[int, int, int]) -> None:
    """Keep what a seed came to beside what others did: mutants there are, drawn, survived."""
    known, drawn, survived = counts
    seeds = json.loads(path.read_text())["seeds"] if path.exists() else {}
    machine = machine_facts(["duckdb", "numpy", "pytest"])
    seeds[str(seed)] = {
        "mutants": drawn,
        "of": known,
        "killed": drawn - survived,
        "survived": survived,
        "date": machine["date"],
    }
    write_result(path, {"seeds": seeds, "machine": machine})


def say(line: str) -> None:
    """A line for whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Draw mutants, try them, and say how many survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=60, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0, help="which are drawn")
    parser.add_argument(
        "--only", default="", help="beginning of where they are drawn from: storage/runs.py:83"
    )
    parser.add_argument("--workers", type=int, default=2, help="mutants that are tried at once")
    parser.add_argument(
        "--seconds", type=float, default=600, help="until a mutant counts as killed"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "mutate.json")
    given = parser.parse_args()
    known = [m for m in all_mutants() if f"{m.place}:".startswith(given.only)]
    drawn = sorted(known, key=lambda mutant: mutant.draw(given.seed))[: given.mutants]
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        copies = [copy_tree(Path(folder) / str(n)) for n in range(given.workers)]
        survivors = try_all(drawn, copies, given.seconds)
    say(f"{len(drawn)} of {len(known)} mutants tried, seed {given.seed}: {survivors} survived")
    if not given.only:
        write_down(given.out, given.seed, (len(known), len(drawn), survivors))
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
