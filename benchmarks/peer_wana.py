"""wana 0.5.1, a peer: installed into an environment of its own, and run as its users run it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scorers.measures.models.model_cache import default_cache

WANA = "wana==0.5.1"

Pair = tuple[int, int, str]
"""Line of the row, line of the item, level."""


def install_wana() -> Path:
    """Wana's command, in an environment of its own; installed if it is not there."""
    place = default_cache() / "benchmarks" / WANA
    command = place / "bin" / "wana"
    if not command.exists():
        sys.stderr.write(f"installing {WANA} into {place}\n")
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin" / "pip", "install", "-q", WANA], check=True)
    return command


def check_with_wana(command: Path, rows: Path, evaluation: Path) -> tuple[float, set[Pair]]:
    """CPU-seconds of `wana check`, start included, and what it found.

    Raises:
        subprocess.CalledProcessError: if it fails; finding something is no failure.
    """
    with tempfile.TemporaryDirectory() as directory:
        words = [
            str(word) for word in (command, "check", rows, "--eval", evaluation, "-o", directory)
        ]
        started = os.times()
        done = subprocess.run(words, stdout=subprocess.DEVNULL)
        ended = os.times()
        if done.returncode not in (0, 1):
            done.check_returncode()
        report = json.loads((Path(directory) / "contamination.json").read_bytes())
    seconds = ended.children_user + ended.children_system
    seconds -= started.children_user + started.children_system
    pairs = {(line(hit["train_id"]), line(hit["eval_id"]), hit["level"]) for hit in report["hits"]}
    return seconds, pairs


def line(name: str) -> int:
    """The line that a name of wana's ends with."""
    return int(name.rpartition(":")[2])
