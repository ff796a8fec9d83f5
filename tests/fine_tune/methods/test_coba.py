"""CoBa by hand: what lags behind counts more, until something gets worse."""

import numpy as np
import pytest

from fine_tune.methods.coba import CoBa, per_mean_size, window_slopes

TWO = CoBa(method="coba", warm_up=2, window=2)


def softmax(*values: float) -> list[float]:
    grown = np.exp(values)
    return list(grown / grown.sum())


def test_before_the_warm_up_is_over_tasks_count_alike() -> None:
    assert TWO.task_weights(np.empty((0, 4))).tolist() == [0.25] * 4
    assert TWO.task_weights(np.array([[2.0, 4.0]])).tolist() == [0.5, 0.5]


def test_the_task_that_converges_counts_less() -> None:
    # As shares of the last of the warm-up: (2, 1), (1, 1). Slopes -1 and 0.
    rcs = softmax(-2, 0)  # 2 a_k / 1; one slope alone: DF is 1
    found = TWO.task_weights(np.array([[2.0, 4.0], [1.0, 4.0]]))
    assert found == pytest.approx(softmax(2 * rcs[0], 2 * rcs[1]))
    assert found[0] < 0.2


def test_the_task_that_diverges_counts_less() -> None:
    # (2, 1), (1, 1), (1, 2): slopes -1, 0, then 0, 1; of the worst 2, 1, 2: -1, then 1.
    rcs = softmax(0, 2)
    acs = softmax(0, -2)  # -2 a_k / 1: each task's own two slopes have the sum 1
    df = 2 * softmax(5, -5)[1]  # -5 * 2 * (-1, 1) / 2
    logits = [2 * (df * r + (1 - df) * a) for r, a in zip(rcs, acs, strict=True)]
    found = TWO.task_weights(np.array([[2.0, 4.0], [1.0, 4.0], [1.0, 8.0]]))
    assert found == pytest.approx(softmax(*logits))
    assert found[1] < 0.2
    # Milder: DF is 2 softmax(0.5, -0.5)_2 = 0.54, and both scores count.
    mild = TWO.model_copy(update={"sharpness": 0.5})
    df = 2 * softmax(0.5, -0.5)[1]
    logits = [2 * (df * r + (1 - df) * a) for r, a in zip(rcs, acs, strict=True)]
    assert mild.task_weights(np.array([[2, 4], [1, 4], [1, 8.0]])) == pytest.approx(
        softmax(*logits)
    )


def test_no_score_counts_below_0() -> None:
    # Of the worst 1.5, 1, 0: slopes -0.5, -1: 2 softmax(10 / 3, 20 / 3)_2 would be 1.93.
    losses = np.array([[1.5, 1.0], [1.0, 1.0], [0.0, 0.0]])
    ratios = losses  # shares of (1, 1)
    slopes = (ratios[2] - ratios[1]).tolist()
    rcs = softmax(*(2 * a / sum(map(abs, slopes)) for a in slopes))
    assert TWO.task_weights(losses) == pytest.approx(softmax(2 * rcs[0], 2 * rcs[1]))


def test_no_task_is_left_without_a_tenth_of_its_even_share() -> None:
    losses = np.array([[9.0, *[1.0] * 19], [1.0, *[1.0] * 19]])
    found = CoBa(method="coba", warm_up=2).task_weights(losses)
    rcs = softmax(-20, *[0] * 19)
    plain = softmax(*(20 * each for each in rcs))
    assert found.sum() == pytest.approx(1)
    assert min(plain) > 0.1 / 20 and found == pytest.approx(plain)
    losses[1, 1] = 9.0  # RCS is nearly 1 for this one, and exp(20) for it against 1 for the others
    found = CoBa(method="coba", warm_up=2).task_weights(losses)
    assert found.min() >= 0.1 / 20 and found.sum() == pytest.approx(1)


def test_slopes_are_those_of_least_squares_over_the_window() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((40, 3))
    found = window_slopes(values, 5, 8)
    assert found.shape == (36, 3)
    for end in range(5, 41):
        part = values[max(0, end - 8) : end]
        expected = np.polyfit(np.arange(len(part)), part, 1)[0]
        np.testing.assert_allclose(found[end - 5], expected, atol=1e-12)


def test_slopes_that_are_all_0_weigh_nothing() -> None:
    assert per_mean_size(np.zeros(3)).tolist() == [0, 0, 0]
    flat = np.ones((6, 3))
    assert TWO.task_weights(flat) == pytest.approx([1 / 3] * 3)
