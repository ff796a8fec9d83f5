"""IFT against its formula, token by token."""

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from fine_tune.methods.ift import IFT
from tests.fine_tune.fake_forward import real_batch
from tests.tiny_models import tiny_llama

ROWS = [[5, 9, 7, 8, 3, 4, 6], [11, 12, 13, 14]]
PROMPT = 2


def by_hand(model: PreTrainedModel, row: list[int], own: float, discount: float) -> float:
    """The loss of one row."""
    ids = torch.tensor([row])
    chosen = model(input_ids=ids).logits[0].argmax(-1)
    table: Any = model.get_input_embeddings().weight
    read = torch.stack(
        [
            table[token] if at < PROMPT else (1 - own) * table[token] + own * table[chosen[at - 1]]
            for at, token in enumerate(row)
        ]
    )
    log_probs = model(inputs_embeds=read[None]).logits[0].log_softmax(-1)
    nats = [-float(log_probs[at - 1, row[at]]) for at in range(PROMPT, len(row))]
    weights = [
        sum(discount ** (k - i) * nats[k] for k in range(i, len(nats))) for i in range(len(nats))
    ]
    scale = len(nats) / sum(weights)
    return sum(w * scale * n for w, n in zip(weights, nats, strict=True)) / len(nats)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("own", "discount"), [(0.2, 0.95), (0.0, 0.5), (0.7, 0.0)])
def test_the_loss_is_the_formula(own: float, discount: float, packed: bool) -> None:
    model = tiny_llama()
    method = IFT(method="ift", own=own, discount=discount)
    with torch.no_grad():
        loss = method.batch_loss(real_batch(model, ROWS, PROMPT, packed=packed))
        expected = sum(by_hand(model, row, own, discount) for row in ROWS)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_weights_that_are_constants_have_another_gradient_and_the_same_loss() -> None:
    gradients, losses = [], []
    for detached in (False, True):
        model = tiny_llama()
        method = IFT(method="ift", detach_weights=detached)
        loss = method.batch_loss(real_batch(model, ROWS, PROMPT))
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        embedding: Any = model.get_input_embeddings()
        gradients.append(embedding.weight.grad.clone())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert not torch.allclose(gradients[0], gradients[1])
