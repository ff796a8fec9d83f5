"""A training in two processes is that of one which reads the same rows in two passes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from docs.docstrings import ROOT
from fine_tune.settings import TrainSettings
from tests.fine_tune.test_rejected_rows import with_rejected
from tests.fine_tune.tiny import count_rows, export_for, make_rows

pytestmark = pytest.mark.slow

SCRIPT = "tests/fine_tune/train_in_processes.py"
METHODS: dict[str, list[dict[str, Any]]] = {
    "weights": [],
    "tl_training": [{"method": "tl_training"}],
    "poft": [{"method": "poft", "perplexities": ["perplexity"]}],
    "coba": [{"method": "coba", "warm_up": 2, "rows": 2}],
    "asft": [{"method": "asft"}],
    "fait": [{"method": "fait", "more": 3.0}],
    "loramoe": [{"method": "loramoe", "experts": 2}],
    "eva": [{"method": "eva"}],
    "dpo": [{"method": "dpo"}],
}


def trained(
    export: Path, model: Path, folder: Path, settings: TrainSettings, processes: int
) -> dict[str, torch.Tensor]:
    folder.mkdir()
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    arguments = [str(export), str(model), str(folder), settings.model_dump_json()]
    done = subprocess.run(
        [sys.executable, *(launch if processes > 1 else []), SCRIPT, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(folder / "trained.safetensors")


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_train_what_two_passes_do(
    name: str, tiny_model: Path, tmp_path: Path
) -> None:
    rows = [*make_rows(8), *make_rows(4, "validation")]
    rows = [replace(row, source="ab"[n % 2]) for n, row in enumerate(rows)]
    rows = count_rows(rows, tiny_model)
    rng = np.random.default_rng(0)
    rows = [
        replace(row, weight=float(weight), scores={"perplexity": 150.0 + n})
        for n, (row, weight) in enumerate(zip(rows, 0.5 + rng.random(len(rows)), strict=True))
    ]
    if name in ("asft", "fait", "dpo"):  # a pass of one process may have no rejected answer
        rows = with_rejected(rows, tiny_model, (1, 3, 6))
    export = export_for(tiny_model, tmp_path / "export", rows, scores=("perplexity",))
    settings = TrainSettings.model_validate(
        {
            "max_steps": 4 if name == "coba" else 2,  # the weights of tasks move in the third
            "batch_rows": 2,
            "lora_rank": 2,
            "balance": "source" if name == "coba" else None,
            "methods": METHODS[name],
        }
    )
    once = settings.model_copy(update={"gradient_accumulation": 2})
    alone = trained(export, tiny_model, tmp_path / "alone", once, 1)
    together = trained(export, tiny_model, tmp_path / "together", settings, 2)
    assert alone.keys() == together.keys()
    for parameter, value in alone.items():
        # Adam divides by the size of a gradient: what is near 0 moves by rounding.
        torch.testing.assert_close(together[parameter], value, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(together["losses"], alone["losses"], atol=1e-5, rtol=1e-5)
