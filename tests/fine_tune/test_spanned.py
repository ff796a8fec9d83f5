from typing import Any

import torch

from fine_tune.spanned import fold_in, train_within


def spanned() -> tuple[Any, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    basis, between = torch.linalg.qr(torch.randn(8, 3))[0], torch.randn(3, 5)
    model: Any = torch.nn.Sequential(torch.nn.Linear(5, 8, bias=False), torch.nn.ReLU())
    train_within(model[0], basis, between)
    return model, basis, between


def test_what_is_trained_is_where_in_the_span_the_weights_are() -> None:
    model, basis, between = spanned()
    (trained,) = model.parameters()
    assert torch.equal(trained, between) and torch.equal(model[0].weight, basis @ between)
    model(torch.randn(4, 5)).sum().backward()
    optimizer = torch.optim.AdamW([trained], lr=0.1)
    optimizer.step()
    moved = model[0].weight.detach() - basis @ between
    assert moved.abs().max() > 0.01
    torch.testing.assert_close(basis @ basis.T @ moved, moved)  # nothing beside the span


def test_folded_in_it_is_an_ordinary_layer_that_says_the_same() -> None:
    model, _, _ = spanned()
    inputs = torch.randn(4, 5)
    before = model(inputs)
    fold_in(model)
    assert list(model.state_dict()) == ["0.weight"]
    assert torch.equal(model(inputs), before)
    fold_in(model)  # there is nothing left to do
    assert torch.equal(model(inputs), before)
