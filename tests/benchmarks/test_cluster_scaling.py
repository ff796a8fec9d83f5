"""The benchmark of scaling: a small one runs whole, and its arithmetic is that of its shards."""

import json
from pathlib import Path

import pytest

from benchmarks import cluster_scaling
from benchmarks.running import run_python


@pytest.mark.slow
def test_two_workers_do_every_row_once(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    settings = ["--workers", "2", "--shards", "2", "--seconds", "1", "--out", str(out)]
    run_python([str(cluster_scaling.__file__), *settings])
    (size,) = json.loads(out.read_text())["sizes"]
    assert size["workers"] == 2 and size["shards"] >= 4
    assert size["ideal_seconds"] == -(-size["shards"] // 2)
    assert size["ideal_seconds"] < size["wall_seconds"]
    assert size["efficiency"] == pytest.approx(
        size["ideal_seconds"] / size["wall_seconds"], abs=0.05
    )
