from functools import partial
from pathlib import Path

import pytest
import torch

from fine_tune.methods.mezo import MeZO
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter


def squares(model: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model(inputs).square().sum()
    return found


def quadratic() -> tuple[torch.nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2, bias=False), torch.randn(5, 3)


def test_the_estimate_is_the_slope_along_the_direction_and_weights_come_back() -> None:
    model, inputs = quadratic()
    before = model.weight.detach().clone()

    def loss() -> torch.Tensor:
        return squares(model, inputs)

    mean = MeZO(method="mezo").take_gradient(model, loss, seed=7)
    assert model.weight.grad is not None and torch.equal(model.weight, before)
    estimate = model.weight.grad.clone()
    z = torch.randn(2, 3, generator=torch.Generator().manual_seed(7))
    (exact,) = torch.autograd.grad(loss(), model.weight)
    torch.testing.assert_close(estimate, (exact * z).sum() * z, rtol=1e-2, atol=1e-3)
    assert float(mean) == pytest.approx(float(loss().detach()), rel=1e-3)


def test_passes_of_a_step_add_up_and_steps_differ() -> None:
    model, inputs = quadratic()
    method = MeZO(method="mezo")

    def estimate(*parts: torch.Tensor, seed: int = 1) -> torch.Tensor:
        model.weight.grad = None
        for part in parts:
            method.take_gradient(model, partial(squares, model, part), seed)
        assert model.weight.grad is not None
        return model.weight.grad

    whole = estimate(inputs).clone()
    torch.testing.assert_close(estimate(inputs[:2], inputs[2:]), whole, rtol=1e-2, atol=1e-2)
    assert not torch.allclose(estimate(inputs, seed=2), whole, rtol=0.5)


def test_what_is_frozen_stays_and_dropout_is_off() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    model[0].requires_grad_(requires_grad=False)
    seen = []

    def loss() -> torch.Tensor:
        seen.append(model.training)
        return squares(model, torch.ones(1, 4))

    MeZO(method="mezo").take_gradient(model, loss, seed=0)
    assert seen == [False, False] and model.training
    assert model[0].weight.grad is None and model[2].weight.grad is not None


@pytest.mark.slow
def test_a_training_goes_down_without_a_backward_pass(
    tiny_model: Path, tiny_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "backward", lambda *_: pytest.fail("a backward pass"))
    settings = TrainSettings.model_validate(
        {
            "tune": "full",
            "epochs": 20,
            "learning_rate": 3e-4,
            "methods": [{"method": "mezo"}],
            "gradient_accumulation": 2,
        }
    )
    report = train_adapter(tiny_export, tiny_model, tmp_path / "out", settings)
    assert report.heldout_before and report.heldout_after
    assert report.heldout_after.nats_per_token < report.heldout_before.nats_per_token
