"""The benchmark of long rows: its files are small, and a lost row or too much memory is named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import long_rows
from benchmarks.long_rows import FILES, LIMIT_BYTES, problems
from pipeline.ingest.readers import RawRow, read_rows


@pytest.mark.parametrize("name", ["compressed.jsonl.zst", "repeated.parquet"])
def test_the_files_are_small_and_have_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(long_rows, "LONG", 40_000)
    count = FILES[name](tmp_path / name)
    rows = list(read_rows(tmp_path / name))
    assert len(rows) == count and all(isinstance(row, RawRow) for row in rows)
    assert (tmp_path / name).stat().st_size < 20_000


@pytest.mark.slow
def test_a_file_is_read_in_and_out(tmp_path: Path) -> None:
    """In a process of its own: one begins with the peak of the process that it was forked from."""
    out = tmp_path / "long.json"
    script = [sys.executable, long_rows.__file__, "--files", "long.jsonl", "--without-tokens"]
    done = subprocess.run([*script, "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["files"]["long.jsonl"]
    assert found["rows"] == found["examples"] == 2_000


@pytest.mark.parametrize(
    ("examples", "peak", "said"),
    [(80, 1.5, []), (79, 1.0, ["lost"]), (80, 1.6, ["above"] * 3)],
)
def test_faults_are_named(examples: int, peak: float, said: list[str]) -> None:
    found: dict[str, object] = {"rows": 80, "examples": examples}
    found |= {f"{step}_peak_gib": peak for step in long_rows.STEPS}
    problem = problems("a.jsonl", found)
    assert len(problem) == len(said)
    assert all(word in text for word, text in zip(said, problem, strict=True))
    assert LIMIT_BYTES == 1.5 * 2**30
