"""Whether the model tells references from swapped responses that it never saw, on real rows.

The rows come from the folder that SLUICE_REAL_DATA names; without it nothing can be learnt.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.measuring.graded_pairs import PairRow, build_pairs, deal_folds
from scorers.measures.models.loading import resolve_model
from scorers.measures.training.cappy import PairRegressor, RegressionSettings

ROWS = 120
DATA = Path(os.environ.get("SLUICE_REAL_DATA", "none")) / "instruct" / "alpaca_9k.json"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_file(), reason="SLUICE_REAL_DATA names no Alpaca rows"),
]


def short_rows() -> list[PairRow]:
    """Rows with few words, so that two cores train on them in seconds."""
    found = [
        (f"{row['instruction']} {row['input']}".strip(), row["output"])
        for row in json.loads(DATA.read_bytes())
        if 6 <= len(row["output"].split()) <= 14
    ]
    short = [texts for texts in found if len(texts[0].split()) <= 10][:ROWS]
    return [
        PairRow(f"{at:05}", f"prompt {at:05}", *texts, "alpaca", False, f"prompt {at:05}")
        for at, texts in enumerate(short)
    ]


def test_references_stand_above_swapped_responses_on_rows_it_did_not_see() -> None:
    rows = short_rows()
    pairs = build_pairs(rows, deal_folds(rows, 3, 0), 0)
    encoder = resolve_model("wheel:all-minilm-l6-v2").path
    settings = RegressionSettings(epochs=2, learning_rate=2e-4, max_tokens=32, batch_rows=8)
    model = PairRegressor.from_directory(encoder, settings.max_tokens, seed=0)
    model.train([*pairs[1], *pairs[2]], settings)
    said = model.predict([(pair.instruction, pair.response) for pair in pairs[0]]).values
    right = np.array([pair.label == 1 for pair in pairs[0]])
    above = (said[right][:, None] > said[~right][None, :]).mean()  # the area under the ROC curve
    assert above > 0.8
    assert said[right].mean() > said[~right].mean() + 0.1
