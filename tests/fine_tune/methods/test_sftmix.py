"""SFTMix against its formula, pair by pair."""

import pytest
import torch

from fine_tune.methods.sftmix import SFTMix, pair_classes
from tests.fine_tune.fake_forward import real_batch
from tests.tiny_models import tiny_llama

ROWS = [[5, 9, 7, 8, 3, 4, 6], [11, 12, 13, 14]]
PROMPT = 2


def test_the_loss_of_a_pair_is_the_formula() -> None:
    model = tiny_llama()
    batch = real_batch(model, ROWS, PROMPT, {"sftmix_class": [0.0, 1.0]})
    torch.manual_seed(3)
    with torch.no_grad():
        loss = SFTMix(method="sftmix", share=0.3).batch_loss(batch)
    torch.manual_seed(3)
    torch.randperm(1), torch.randperm(1)  # the pairs were drawn before
    share = torch.distributions.Beta(0.5, 0.5).sample()
    nats, states, targets = [], [], []
    for row in ROWS:
        with torch.no_grad():
            read = model(input_ids=torch.tensor([row]), output_hidden_states=True)
        log_probs = read.logits[0].log_softmax(-1)
        nats += [-float(log_probs[at - 1, row[at]]) for at in range(PROMPT, len(row))]
        states.append(read.hidden_states[-1][0, PROMPT - 1 : -1])
        targets.append(row[PROMPT:])
    mixed = share * states[1][:2] + (1 - share) * states[0][:2]  # the shorter has two tokens
    log_probs = torch.nn.functional.linear(mixed, model.lm_head.weight).log_softmax(-1)
    mix = -sum(
        share * log_probs[n, targets[1][n]] + (1 - share) * log_probs[n, targets[0][n]]
        for n in range(2)
    )
    assert float(loss) == pytest.approx(sum(nats) / 7 + 0.3 * float(mix) / 2, rel=1e-5)


@pytest.mark.parametrize("classes", [[0.0, 0.0], [1.0, 1.0]])
def test_of_one_class_alone_nothing_is_mixed(classes: list[float]) -> None:
    model = tiny_llama()
    batch = real_batch(model, ROWS, PROMPT, {"sftmix_class": classes})
    with torch.no_grad():
        loss = SFTMix(method="sftmix").batch_loss(batch)
        read = batch.read()
    assert float(loss) == pytest.approx(float(-read.log_probs.sum() / read.label_mask.sum()))


def test_each_row_stands_in_one_pair_with_one_of_the_other_class() -> None:
    classes = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0])
    pairs = pair_classes(classes)
    assert len(pairs) == 2 and len({row for pair in pairs for row in pair}) == 4
    assert all(classes[one] == 1 and classes[other] == 0 for one, other in pairs)
    torch.manual_seed(0)
    assert len({tuple(pair_classes(classes)) for _ in range(20)}) > 1, "at random"
