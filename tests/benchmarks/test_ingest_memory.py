"""The benchmark of reading runs on a few rows, and sees a lost row or too much memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import ingest_memory
from benchmarks.ingest_memory import LIMIT_BYTES, problems, rows


def test_rows_are_short_and_every_hundredth_repeats_another() -> None:
    lines = list(rows(1000))
    assert lines == list(rows(1000))
    assert len(set(lines)) == 990
    for number in range(99, 1000, 100):
        assert lines[number] in lines[:number]
    assert all(len(line) < 500 for line in lines)
    roles = [message["role"] for message in json.loads(lines[0])["messages"]]
    assert roles == ["user", "assistant"]


@pytest.mark.slow
def test_reads_every_row_and_nothing_twice(tmp_path: Path) -> None:
    out = tmp_path / "results" / "few.json"
    # In a process of its own: what is measured begins with the peak of whoever starts it, and that
    # of the tests is what the largest test before had.
    command = [sys.executable, ingest_memory.__file__, "--rows", "500", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["counted"] == {"occurrences": 500, "quarantined": 0, "examples": 495}
    assert 20 * 2**20 < result["first"]["peak_bytes"] < LIMIT_BYTES
    assert result["first"]["rows_per_second"] > 0
    assert {"processor", "memory_gib", "packages"} <= set(result["machine"])
    assert json.loads(done.stdout) == result["first"]


@pytest.mark.parametrize(
    ("counted", "peak_bytes", "expected"),
    [
        ((1000, 0, 990), 1, []),
        ((999, 0, 990), 1, ["1000 rows went in"]),
        ((999, 1, 990), 1, ["1000 rows went in"]),
        ((1000, 0, 1000), 1, ["1000 examples"]),
        ((1000, 0, 990), LIMIT_BYTES + 1, ["peak memory 4.0 GiB"]),
    ],
)
def test_sees_problems(counted: tuple[int, int, int], peak_bytes: int, expected: list[str]) -> None:
    names = ("occurrences", "quarantined", "examples")
    first = {"peak_bytes": peak_bytes, "peak_gib": 4.0}
    result = {"rows": 1000, "counted": dict(zip(names, counted, strict=True)), "first": first}
    found = problems(result)
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))
