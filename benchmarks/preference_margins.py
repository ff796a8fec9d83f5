"""How far a training moved chosen answers ahead of rejected ones, on held-out pairs of an export.

    python benchmarks/preference_margins.py EXPORT ADAPTER [--out FILE]

The margin of a pair is what the chosen answer gained on the rejected one: the difference of their
log-probabilities with the adapter, less the same without it, nats. Before a training it is 0 for
every pair.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks.running import RESULTS, machine_facts, write_result
from fine_tune.libraries import quiet_libraries
from fine_tune.methods.dpo import preference_margins
from fine_tune.prepared_rows import load_split
from fine_tune.rejected_rows import attach_rejected
from fine_tune.settings import TrainSettings
from fine_tune.trainer import build_trainer, prepared_rows
from scorers.measures.models.loading import resolve_model
from storage.exports_manifest import read_manifest

SETTINGS = TrainSettings.model_validate({"methods": [{"method": "dpo"}]})


def heldout_margins(export: Path, adapter: Path) -> list[float]:
    """The margin of each held-out pair, nats."""
    model = resolve_model(read_manifest(export).model.reference).path
    margins: list[float] = []
    with TemporaryDirectory() as folder, quiet_libraries():
        rows = load_split(export, "validation", Path(folder))
        trainer: Any = build_trainer(model, {"train": rows}, SETTINGS, Path(folder), adapter)
        tokenizer = trainer.processing_class
        paired, _ = attach_rejected(prepared_rows(trainer), rows, SETTINGS, tokenizer)
        trainer.model.eval()
        for row in paired.remove_columns(rows.column_names):
            batch = trainer._loss_batch(trainer.model, trainer.data_collator([row]))
            with torch.no_grad():
                margins += preference_margins(batch).tolist()
    return margins


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="The margins of held-out pairs after a training.")
    parser.add_argument("export", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS / "preference_margins.json")
    given = parser.parse_args(arguments)
    margins = np.array(heldout_margins(given.export, given.adapter))
    deviation = margins.std(ddof=1) / np.sqrt(len(margins))
    found = {
        "pairs": len(margins),
        "mean_margin_before": 0.0,
        "mean_margin": round(float(margins.mean()), 3),
        "standard_error": round(float(deviation), 3),
        "pairs_ahead": int((margins > 0).sum()),
        "machine": machine_facts(("torch", "transformers", "trl", "peft")),
    }
    sys.stderr.write(f"{json.dumps(found)}\n")
    write_result(given.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
