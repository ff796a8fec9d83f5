import numpy as np
import pytest

from scorers.less import score_less

RNG = np.random.default_rng(2)
ROWS, TARGETS = RNG.normal(size=(6, 3, 8)), RNG.normal(size=(5, 3, 8))
SOURCES = np.array([0.0, 0.0, 1.0, 1.0, 1.0])
RATES = np.tile([3e-5, 2e-5, 1e-5], (6, 1))


def test_by_hand() -> None:
    # One row, two checkpoints with weights 3/4 and 1/4. Cosines with the only target of source 0
    # are 1 and 0, so 0.75; with the two of source 1: (0.6 + 0) / 2 and (1 + 1) / 2, so 0.475.
    row = np.array([[[2.0, 0.0], [0.0, 1.0]]])
    targets = np.array([[[5, 0], [1, 0]], [[0.6, 0.8], [0, 3]], [[0, 1], [0, 1]]], dtype=float)
    rates = np.array([[3.0, 1.0]])
    sources = np.array([0.0, 1.0, 1.0])
    assert score_less(row, rates, targets, sources)[0] == pytest.approx(0.75)
    assert score_less(row, rates, targets[1:], sources[1:])[0] == pytest.approx(0.475)


def test_scores_are_cosines() -> None:
    scores = score_less(1000 * ROWS, RATES, TARGETS, SOURCES)
    assert (np.abs(scores) <= 1).all()
    same = score_less(TARGETS[:1], RATES[:1], TARGETS[:1], SOURCES[:1])
    assert same[0] == pytest.approx(1.0) and same[0] <= 1.0


def test_a_target_in_the_pool_comes_first_for_its_own_source() -> None:
    pool = np.concatenate([RNG.normal(size=(200, 3, 64)), TARGETS.repeat(8, axis=2)])
    rates = np.tile([3e-5, 2e-5, 1e-5], (205, 1))
    for target, source in enumerate(SOURCES):
        own = np.equal(SOURCES, source)
        scores = score_less(pool, rates, TARGETS.repeat(8, axis=2)[own], SOURCES[own])
        assert 200 + target in np.argsort(-scores)[: own.sum()]


def test_a_source_counts_as_one_however_many_targets_it_has() -> None:
    many = [0, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4]
    np.testing.assert_allclose(
        score_less(ROWS, RATES, TARGETS[many], SOURCES[many]),
        score_less(ROWS, RATES, TARGETS, SOURCES),
    )
    together = score_less(ROWS, RATES, TARGETS, np.zeros(5))
    assert (score_less(ROWS, RATES, TARGETS, SOURCES) >= together - 1e-12).all()


def test_rates_count_by_their_share() -> None:
    alike = score_less(ROWS, 7 * RATES, TARGETS, SOURCES)
    np.testing.assert_allclose(alike, score_less(ROWS, RATES, TARGETS, SOURCES))
    last = np.tile([0.0, 0.0, 1e-5], (6, 1))
    np.testing.assert_allclose(
        score_less(ROWS, last, TARGETS, SOURCES),
        score_less(ROWS[:, 2:], last[:, 2:], TARGETS[:, 2:], SOURCES),
    )


def test_long_gradients_win_nothing() -> None:
    lengths = np.exp(RNG.normal(size=400))
    rows = RNG.normal(size=(400, 1, 32))
    scores = score_less(rows * lengths[:, None, None], np.ones((400, 1)), rows[:20], np.zeros(20))
    assert abs(np.corrcoef(scores, lengths)[0, 1]) < 0.1
    raw = np.abs((rows * lengths[:, None, None])[:, 0] @ rows[:20, 0].mean(axis=0))
    assert np.corrcoef(raw, lengths)[0, 1] > 0.4, "which products that are not normalised do"


def test_rows_and_targets_without_a_gradient() -> None:
    rows, targets = ROWS.copy(), TARGETS.copy()
    rows[1] = targets[2] = np.nan
    rows[3, 1] = 0
    scores = score_less(rows, RATES, targets, SOURCES)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [1, 3]
    kept = [0, 1, 3, 4]
    np.testing.assert_array_equal(
        scores[[0, 2]], score_less(rows, RATES, targets[kept], SOURCES[kept])[[0, 2]]
    )


@pytest.mark.parametrize(
    ("rates", "targets", "message"),
    [
        (RATES[:2], TARGETS, "expected columns of one length"),
        (RATES, TARGETS[:, :2], r"targets \(2, 8\): measure both with the same settings"),
        (RATES, np.full((5, 3, 8), np.nan), "none of those given has a gradient"),
    ],
)
def test_errors(rates: np.ndarray, targets: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_less(ROWS, rates, targets, SOURCES)


def test_a_target_without_a_direction_is_left_out() -> None:
    blank = np.concatenate([TARGETS, np.zeros((1, 3, 8)), np.full((1, 3, 8), np.nan)])
    found = score_less(ROWS, RATES, blank, np.array([*SOURCES, 0.0, 2.0]))
    np.testing.assert_array_equal(found, score_less(ROWS, RATES, TARGETS, SOURCES))
