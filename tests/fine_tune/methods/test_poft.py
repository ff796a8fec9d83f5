import math

import pytest
import torch

from fine_tune.methods.poft import PoFT
from tests.fine_tune.fake_forward import FakeForward


def loss_of(log_probs: list[list[float]], perplexities: dict[str, list[float]]) -> torch.Tensor:
    method = PoFT(method="poft", perplexities=tuple(perplexities))
    return method.batch_loss(FakeForward(log_probs).batch(scores=perplexities))


def test_the_loss_of_two_rows_by_hand() -> None:
    # means -1 and -0.5; trusted: -ln 2 and -ln 4
    loss = loss_of([[-1.5, -0.5], [-1.0, 0.0]], {"p": [2.0, 4.0]})
    means, trusted = (-1.0, -0.5), (-math.log(2), -math.log(4))
    by_hand = [math.log1p(math.exp(t - r)) for r, t in zip(means, trusted, strict=True)]
    assert float(loss.detach()) == pytest.approx(sum(by_hand), rel=1e-6)


def test_of_several_trusted_models_the_mean_of_log_likelihoods_counts() -> None:
    one = loss_of([[-1.0]], {"p": [2.0], "q": [8.0]})
    assert float(one.detach()) == pytest.approx(
        float(loss_of([[-1.0]], {"p": [4.0]}).detach()), rel=1e-6
    )


def test_its_gradient_is_that_of_the_row_mean_times_the_doubt_left() -> None:
    forward = FakeForward([[-1.0, -1.0]])
    method = PoFT(method="poft", perplexities=("p",), margin=0.25)
    method.batch_loss(forward.batch(scores={"p": [math.e]})).backward()  # type: ignore[no-untyped-call]
    left = 1 / (1 + math.exp(0.25))  # sigmoid(r' - r - margin), with r = r' = -1
    assert forward.gradient() == pytest.approx([-left / 2, -left / 2], rel=1e-6)


def test_a_row_the_trusted_models_doubt_moves_the_model_less() -> None:
    gradients = []
    for perplexity in (1.5, 20.0):
        forward = FakeForward([[-1.0]])
        method = PoFT(method="poft", perplexities=("p",))
        method.batch_loss(forward.batch(scores={"p": [perplexity]})).backward()  # type: ignore[no-untyped-call]
        gradients.append(abs(forward.gradient()[0]))
    assert gradients[0] > 3 * gradients[1]


def test_the_perplexities_are_named() -> None:
    assert PoFT(method="poft", perplexities=("a", "b")).scores() == ("a", "b")
    with pytest.raises(ValueError, match="at least 1 item"):
        PoFT(method="poft", perplexities=())
