"""mixup against its formula, row by row, and against plain training where nothing is mixed."""

from dataclasses import replace

import pytest
import torch

from fine_tune.methods.mixup import Mixup
from tests.fine_tune.fake_forward import real_batch
from tests.tiny_models import tiny_llama

ROWS = [[5, 9, 7, 8, 3, 4, 6], [11, 12, 13, 14]]
PROMPT = 2


def fixed_share(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self: torch.tensor(share))


def test_the_loss_is_the_formula_as_far_as_the_shorter_goes_and_plain_beyond() -> None:
    model = tiny_llama()
    batch = real_batch(model, ROWS, PROMPT)
    weights = batch.weights.clone()
    weights[0, PROMPT - 1 :] = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    weights[1] *= 4
    torch.manual_seed(3)
    with torch.no_grad():
        loss = Mixup(method="mixup", spread=0.7).batch_loss(replace(batch, weights=weights))
    torch.manual_seed(3)
    share = float(torch.distributions.Beta(0.7, 0.7).sample())
    assert 0.01 < share < 0.99
    states, targets = [], []
    for row in ROWS:
        with torch.no_grad():
            read = model(input_ids=torch.tensor([row]), output_hidden_states=True)
        states.append(read.hidden_states[-1][0, PROMPT - 1 : -1])
        targets.append(row[PROMPT:])
    expected = 0.0
    for at, other in ((0, 1), (1, 0)):
        for n, target in enumerate(targets[at]):
            state, labels = states[at][n], [(1.0, target)]
            if n < 2:  # the shorter has two tokens
                state = share * state + (1 - share) * states[other][n]
                labels = [(share, target), (1 - share, targets[other][n])]
            head = model.lm_head.weight.detach()
            told = torch.nn.functional.linear(state, head).log_softmax(-1)
            counts = float(weights[at, PROMPT - 1 + n])
            expected -= counts * sum(part * float(told[label]) for part, label in labels)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_share_of_one_is_plain_training_with_its_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixed_share(monkeypatch, 1.0)
    model = tiny_llama()
    batch = real_batch(model, ROWS, PROMPT)
    loss = Mixup(method="mixup").batch_loss(batch)
    plain = -batch.read().log_probs.sum()
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    weight = model.model.layers[0].mlp.up_proj.weight
    mine, given = (torch.autograd.grad(each, weight)[0] for each in (loss, plain))
    assert torch.allclose(mine, given, atol=1e-5) and float(mine.abs().max()) > 0


def test_every_row_has_another_for_partner_and_one_alone_is_trained_plainly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixed_share(monkeypatch, 0.0)  # all of a row is its partner
    model = tiny_llama()
    rows = [[5, 9, token] for token in (3, 4, 6, 7)]
    batch = real_batch(model, rows, PROMPT)
    with torch.no_grad():
        mine = float(Mixup(method="mixup").batch_loss(batch))
    # Each answer was told once, as another row's, from the state before it: all prompts are one.
    assert mine == pytest.approx(float(-batch.read().log_probs.sum()), rel=1e-5)
    alone = real_batch(model, ROWS[:1], PROMPT)
    with torch.no_grad():
        assert float(Mixup(method="mixup").batch_loss(alone)) == pytest.approx(
            float(-alone.read().log_probs.sum()), rel=1e-5
        )
    paired = set()
    for seed in range(20):
        torch.manual_seed(seed)
        head = model.lm_head.weight.detach()
        seen: list[int] = []
        monkeypatch.setattr(
            "fine_tune.methods.mixup.mixed_nats",
            lambda model, one, other, share, seen=seen, head=head: (
                seen.extend((int(one[1][0]), int(other[1][0]))) or head.new_zeros(1)
            ),
        )
        Mixup(method="mixup").batch_loss(batch)
        pairs = tuple(zip(seen[::2], seen[1::2], strict=True))
        assert sorted(one for one, _ in pairs) == sorted(other for _, other in pairs)
        assert all(one != other for one, other in pairs)
        paired.add(pairs)
    assert len(paired) > 1, "at random"
