from dataclasses import replace

import numpy as np
import pytest

from scorers.measures.training.proxy_schedule import MEGABATCH, ProxySettings, Schedule

SCHEDULE = Schedule(rows=1003, epochs=2, batch_rows=4, learning_rate=0.5, warmup_share=0.1, seed=0)
LENGTHS = np.random.default_rng(0).integers(1, 1000, 1003)


def test_an_epoch_has_every_row_once() -> None:
    batches = SCHEDULE.epoch_batches(0, LENGTHS)
    assert sorted(np.concatenate(batches)) == list(range(1003))
    assert SCHEDULE.steps == 2 * len(batches) == 502
    assert sorted({len(batch) for batch in batches}) == [3, 4]


def test_the_order_follows_seed_and_epoch_and_nothing_else() -> None:
    first = np.concatenate(SCHEDULE.epoch_batches(0, LENGTHS))
    again = np.concatenate(SCHEDULE.epoch_batches(0, LENGTHS))
    np.testing.assert_array_equal(first, again)
    second = np.concatenate(SCHEDULE.epoch_batches(1, LENGTHS))
    other = np.concatenate(replace(SCHEDULE, seed=1).epoch_batches(0, LENGTHS))
    assert (first != second).mean() > 0.9 and (first != other).mean() > 0.9


def test_rows_of_like_length_share_a_batch_and_batches_are_mixed() -> None:
    batches = SCHEDULE.epoch_batches(0, LENGTHS)
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    assert padded < 1.05 * LENGTHS.sum()  # at random it is about 1.6
    means = [LENGTHS[batch].mean() for batch in batches[:MEGABATCH]]
    assert abs(np.corrcoef(means, np.arange(MEGABATCH))[0, 1]) < 0.5  # not short to long


def test_the_rate_rises_in_a_line_and_falls_in_a_half_cosine() -> None:
    rates = np.array([SCHEDULE.rate(step) for step in range(502)])
    np.testing.assert_allclose(rates[:51], 0.5 * np.arange(1, 52) / 51)
    assert rates.argmax() == 50 and (np.diff(rates[51:]) < 0).all()
    np.testing.assert_allclose(SCHEDULE.rate(51 + (502 - 51) // 2), 0.25, atol=1e-3)
    assert 0 < rates[-1] < 1e-4


def test_without_a_warm_up_the_first_step_is_the_largest() -> None:
    assert replace(SCHEDULE, warmup_share=0.0).rate(0) == 0.5
    assert Schedule(1, 1, 1, 0.5, 0.03, 0).rate(0) == 0.5  # one step: all of it is warm-up


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"epochs": 0}, "at least 1, got 0, 32, 12, 2048"),
        ({"checkpoints": 0}, "at least 1"),
        ({"batch_rows": 0}, "at least 1"),
        ({"max_tokens": 0}, "at least 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"seed": -1}, "not negative"),
        ({"warmup_share": 1.0}, r"in \[0, 1\)"),
        ({"train_share": 0.0}, r"in \(0, 1\]"),
        ({"train_share": 1.1}, r"in \(0, 1\]"),
    ],
)
def test_settings_that_make_no_training_are_refused(change: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ProxySettings(**change)  # type: ignore[arg-type]
