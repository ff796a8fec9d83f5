"""DFT is TRL's; what is ours is that it is asked for, and goes with weights."""

from pathlib import Path

import pytest
import torch

from fine_tune.methods.dft import DFT
from fine_tune.settings import TrainSettings
from fine_tune.trainer import trainer_config
from fine_tune.wrapped_model import weighted_nats
from tests.fine_tune.fake_forward import FakeForward


def test_trl_is_told(tmp_path: Path) -> None:
    dft = TrainSettings(methods=(DFT(method="dft"),))
    assert trainer_config(dft, tmp_path).loss_type == "dft"
    assert trainer_config(TrainSettings(), tmp_path).loss_type == "nll"


def test_with_weights_each_token_counts_its_probability_times_its_weight() -> None:
    forward = FakeForward([[-1.0, -2.0]])
    loss = weighted_nats(forward.batch(weights=[[1.0, 0.5]]), by_probability=True)
    probabilities = torch.tensor([-1.0, -2.0]).exp()
    assert float(loss.detach()) == pytest.approx(
        float(probabilities[0] + probabilities[1] * 2 * 0.5)
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert forward.gradient() == pytest.approx(
        [-float(probabilities[0]), -float(probabilities[1]) / 2]
    )
