"""Run a piece of work in a process of its own, and say on what machine it ran."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

SLUICE = ("-c", "from flows.cli.main import main; main()")
"""Arguments by which Python does what the installed `sluice` does."""

RESULTS = Path(__file__).parent / "results"
THREADS = 2
"""Of every library that asks the environment how many it may use."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process took, from its start to its end, imports and all."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    """Largest resident set."""
    output: str
    """What it wrote to stdout."""


def run_python(arguments: Sequence[str | Path]) -> Usage:
    """Run this Python in a new process and wait for it; on Linux and macOS.

    Raises:
        subprocess.CalledProcessError: if it fails; what it wrote to stderr was shown.
    """
    command = [sys.executable, *map(str, arguments)]
    names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(THREADS))}
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, env=environment)
        # wait4 gives the usage of this one process; RUSAGE_CHILDREN gives the largest so far. Its
        # peak is at least what this process has in memory: whoever measures must be small.
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    unit = 1 if sys.platform == "darwin" else 1024
    return Usage(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, text)


def machine_facts(packages: Sequence[str]) -> dict[str, object]:
    """What a reader needs in order to compare: processor, memory, versions, how busy it was."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average_1_min": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "threads": THREADS,
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def write_result(path: Path, result: Mapping[str, object]) -> None:
    """Store a result as JSON, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    sys.stderr.write(f"wrote {path}\n")
