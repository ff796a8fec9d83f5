import math

import pytest
import torch

from fine_tune.methods.asft import ASFT, log_of_rest
from tests.fine_tune.fake_forward import FakeForward, pair_batch

METHOD = ASFT(method="asft", share=0.5)


def test_the_loss_of_a_pair_and_of_a_row_alone_by_hand() -> None:
    # Two rows, mean log p -1 and -0.5; the second has a rejected answer, of mean log p -2.
    forward = FakeForward([[-1.5, -0.5], [-1.0, 0.0], [-3.0, -1.0]])
    loss = METHOD.batch_loss(pair_batch(forward, [1]))
    kept, rejected = math.exp(-0.5), math.exp(-2)
    odds = [math.log(p / (1 - p)) for p in (kept, rejected)]
    sigmoids = [1 / (1 + math.exp(-o)) for o in (odds[0], -odds[1])]
    pair = 0.5 - 0.5 * sum(map(math.log, sigmoids))
    assert float(loss.detach()) == pytest.approx(1.0 + pair, rel=1e-6)
    assert pair == pytest.approx(1.5 * 0.5 - 0.5 * math.log(1 - rejected)), "the second form"


def test_what_is_rejected_is_pushed_down_the_harder_the_likelier_it_is() -> None:
    forward = FakeForward([[-1.0], [-1.0], [-0.1], [-4.0]])
    METHOD.batch_loss(pair_batch(forward, [0, 1])).backward()  # type: ignore[no-untyped-call]
    likely, unlikely = forward.gradient()[2:]
    # d/dr of -share log(1 - e^r) = share e^r / (1 - e^r)
    assert likely == pytest.approx(0.5 * math.exp(-0.1) / (1 - math.exp(-0.1)), rel=1e-5)
    assert unlikely == pytest.approx(0.5 * math.exp(-4) / (1 - math.exp(-4)), rel=1e-4)
    assert forward.gradient()[:2] == pytest.approx([-1.5, -1.5])


def test_rows_without_rejected_answers_are_trained_by_their_mean() -> None:
    loss = METHOD.batch_loss(FakeForward([[-1.5, -0.5], [-1.0, 0.0]]).batch())
    assert float(loss.detach()) == pytest.approx(1.5)


def test_the_rest_of_a_likelihood_keeps_its_digits() -> None:
    for log_p in (-1e-5, -0.3, -0.6931, -0.6932, -5.0, -40.0):
        exact = math.log(-math.expm1(log_p))
        found = float(log_of_rest(torch.tensor(log_p, dtype=torch.float64)))
        assert found == pytest.approx(exact, rel=1e-9)
    certain = torch.tensor(0.0, requires_grad=True)
    log_of_rest(certain).backward()  # type: ignore[no-untyped-call]
    assert certain.grad is not None and torch.isfinite(certain.grad)
