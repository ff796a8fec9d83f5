"""Every trick against the plain way, `model(labels=…)` in float32, on real rows.

The rows come from the folder that SLUICE_REAL_DATA names; without it there is nothing to compare.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from scorers.measures.losses import measure_losses
from scorers.measures.models.loading import ResolvedModel, load_language_model
from scorers.measures.reading.chat_format import RenderedExample, render
from tests.scorers.measures.models.test_language_model import one_by_one

TOLERANCE = 1e-4  # nats
DATA = Path(os.environ.get("SLUICE_REAL_DATA", "none"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "gsm8k").is_dir(), reason="SLUICE_REAL_DATA names no real rows"),
]


def conversations() -> list[list[dict[str, str]]]:
    """Short and long answers, contexts longer than a pass, candidates, and turns before."""
    alpaca = json.loads((DATA / "instruct" / "alpaca_9k.json").read_bytes())[:6]
    dolly = json.loads((DATA / "instruct" / "dolly_3k.json").read_bytes())
    longest = sorted(dolly, key=lambda row: -len(row["input"]))[2:4]
    lines = (DATA / "gsm8k" / "train.jsonl").read_text().splitlines()[:4]
    maths = [json.loads(line) for line in lines]
    asked = [(f"{row['instruction']}\n\n{row['input']}", row["output"]) for row in alpaca + longest]
    asked += [(row["question"], row["answer"]) for row in maths]
    asked += [(maths[0]["question"], answer) for answer in ("72", "It is 72.", maths[1]["answer"])]
    talks = [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        for prompt, response in asked
    ]
    return [*talks, talks[0] + talks[-4] + talks[1]]


def test_packs_are_the_plain_model_on_real_rows(
    whole_model: ResolvedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = load_language_model(whole_model, "float32", "cpu")
    rows: list[RenderedExample] = [
        render(tokenizer, turns, (), len(turns) - 1, "chat") for turns in conversations()
    ]
    assert max(len(row.prompt) for row in rows) > 2 * 512  # a prompt goes through several passes
    for row, found in zip(rows, measure_losses(model, rows, 8192), strict=True):
        given = one_by_one(model.model, row.prompt, row.response)
        alone = one_by_one(model.model, row.header, row.response)
        assert found.state == "ok"
        for got, wanted in (
            (found.nll, given.nll),
            (found.entropy, given.entropy),
            (found.nll_alone, alone.nll),
            (found.entropy_alone, alone.entropy),
        ):
            assert got is not None and wanted is not None
            np.testing.assert_allclose(got, wanted, atol=TOLERANCE, rtol=0)
        ids = torch.tensor([row.prompt + row.response])
        labels = ids.clone()
        labels[:, : len(row.prompt)] = -100
        with torch.no_grad():
            loss = model.model(ids, labels=labels).loss.item()
        assert found.mean_nll == pytest.approx(loss, abs=TOLERANCE)
