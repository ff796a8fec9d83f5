"""The interval of a difference: by hand, and how often it holds what it says on made-up arms."""

import numpy as np
import pytest

from pipeline.trials.comparison import Arm, Difference, differ_by_items, smallest_effect
from scorers.arrays import Floats

ITEMS = 200


def made_up(
    rng: np.random.Generator, seeds: int, of_seed: float, of_item: float, shift: float = 0.0
) -> tuple[Arm, Arm]:
    """Two arms on the same items, which differ by `shift` in truth; as a loss would."""
    base = rng.normal(1.2, 0.3, ITEMS)

    def one(moved: float) -> Arm:
        seed = rng.normal(0, of_seed, (seeds, 1))
        own = rng.normal(0, of_item, ITEMS)
        return Arm(base + own + seed + rng.normal(0, 0.03, (seeds, ITEMS)) + moved)

    return one(shift), one(0.0)


CASES = [
    pytest.param(0.003, 0.0, id="as large as the noise of items"),
    pytest.param(0.03, 0.0, id="seeds differ most"),
    pytest.param(0.003, 0.05, id="arms differ by item"),
]


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("of_seed", "of_item"), CASES)
def test_an_arm_against_itself_is_covered(of_seed: float, of_item: float, seeds: int) -> None:
    assert 0.92 <= coverage(seeds, of_seed, of_item) <= 0.99


def coverage(seeds: int, of_seed: float, of_item: float) -> float:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        ends = differ_by_items(*made_up(rng, seeds, of_seed, of_item)).interval()
        assert ends is not None
        covered += ends[0] <= 0 <= ends[1]
    return covered / 600


def test_without_an_effect_of_seeds_the_interval_is_wider_than_it_has_to_be() -> None:
    assert coverage(5, 0.0, 0.0) >= 0.97  # what an item does in one training is counted twice


def test_the_smallest_effect_is_seen_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    planned = [differ_by_items(*made_up(rng, 5, 0.03, 0.0)).variance for _ in range(400)]
    assert None not in planned
    effect = smallest_effect(float(np.mean([v for v in planned if v])), 8.0)
    seen = 0
    for _ in range(800):
        ends = differ_by_items(*made_up(rng, 5, 0.03, 0.0, effect)).interval()
        assert ends is not None
        seen += ends[0] > 0
    assert 0.75 <= seen / 800 <= 0.85


def by_hand() -> tuple[Floats, Floats]:
    return np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]), np.array(
        [[1.0, 1.0, 1.0], [1.0, 1.0, 4.0]]
    )


def test_three_items_and_two_seeds_by_hand() -> None:
    a, b = by_hand()
    found = differ_by_items(Arm(a), Arm(b))
    # Seed means of A 2 and 3, of B 1 and 2; items: (1.5, 2.5, 3.5) - (1, 1, 2.5) = (.5, 1.5, 1).
    assert found.mean == pytest.approx(1.0)
    of_items, of_a, of_b = 0.25 / 3, 0.5 / 2, 0.5 / 2
    total = of_items + of_a + of_b
    assert found.variance == pytest.approx(total)
    assert found.shares == pytest.approx((of_items / total, of_a / total, of_b / total))
    assert found.freedom == pytest.approx(total**2 / (of_items**2 / 2 + of_a**2 + of_b**2))


def test_swapped_arms_change_the_sign_and_nothing_else() -> None:
    a, b = by_hand()
    one, other = differ_by_items(Arm(a), Arm(b)), differ_by_items(Arm(b), Arm(a))
    assert one.mean == -other.mean
    assert one.half_width() == pytest.approx(other.half_width())
    order = [2, 0, 1]
    mixed = differ_by_items(Arm(a[::-1, order]), Arm(b[:, order]))
    assert mixed.mean == pytest.approx(one.mean) and mixed.variance == pytest.approx(one.variance)


def test_a_loss_per_token_is_that_of_all_tokens() -> None:
    tokens = np.array([10.0, 30.0, 60.0])
    a, b = np.array([[10.0, 60.0, 60.0]] * 2), np.array([[20.0, 30.0, 60.0]] * 2)
    found = differ_by_items(Arm(a), Arm(b), tokens)
    assert found.mean == pytest.approx((130 - 110) / 100)
    # r = ((-10, 30, 0) - .2 * tokens) / mean(tokens); the seeds are alike and add nothing.
    residuals = (np.array([-10.0, 30.0, 0.0]) - 0.2 * tokens) / (100 / 3)
    assert found.variance == pytest.approx(residuals.var(ddof=1) / 3)


def test_items_twice_with_one_cluster_change_nothing_and_without_shrink_the_interval() -> None:
    rng = np.random.default_rng(1)
    a, b = made_up(rng, 3, 0.0, 0.05)
    alone = differ_by_items(a, b)
    twice = [Arm(np.concatenate([arm.values, arm.values], axis=1)) for arm in (a, b)]
    codes = np.tile(np.arange(ITEMS), 2)
    clustered = differ_by_items(twice[0], twice[1], clusters=codes)
    assert clustered.variance == pytest.approx(alone.variance)
    assert clustered.freedom == pytest.approx(alone.freedom)
    free = differ_by_items(twice[0], twice[1])
    assert alone.variance and free.variance and alone.shares and free.shares
    ratio = alone.variance * alone.shares[0] / (free.variance * free.shares[0])
    assert ratio == pytest.approx(2, rel=0.01)


def test_one_training_has_no_interval_and_an_untrained_arm_needs_none() -> None:
    a, b = by_hand()
    alone = differ_by_items(Arm(a[:1]), Arm(b))
    assert alone.interval() is None and alone.chance() is None and alone.smallest_effect() is None
    assert alone.mean == pytest.approx(0.5), "the difference itself is known"
    untrained = differ_by_items(Arm(a[:1], trained=False), Arm(b))
    assert untrained.shares is not None and untrained.shares[1] == 0


def test_where_nothing_varies_nothing_is_divided_by() -> None:
    same = Arm(np.zeros((3, 4)))
    found = differ_by_items(same, same)
    assert found.variance == 0 and found.chance() is None and found.interval() == (0, 0)


def test_other_items_or_one_cluster_are_refused() -> None:
    a, b = by_hand()
    with pytest.raises(ValueError, match="3 and 2 items cannot be paired"):
        differ_by_items(Arm(a), Arm(b[:, :2]))
    with pytest.raises(ValueError, match="1 item or cluster"):
        differ_by_items(Arm(a), Arm(b), clusters=np.zeros(3, dtype=np.int64))


def test_the_chance_is_that_of_the_interval() -> None:
    found = Difference(1.0, 0.25, 8.0, None)
    chance = found.chance()
    assert chance is not None
    ends = found.interval(1 - chance)
    assert ends is not None and ends[0] == pytest.approx(0, abs=1e-9)
