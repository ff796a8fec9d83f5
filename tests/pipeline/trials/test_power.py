"""What a trial will see: as its own variances say, and less uncertain with more seeds."""

import numpy as np
import pytest

from pipeline.trials.comparison import Arm, differ_by_items
from pipeline.trials.power import Spread, guess_spread, spread_of


def test_the_prediction_for_as_many_seeds_is_what_the_comparison_says() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(1, 0.3, 100)
    arms = [Arm(base + rng.normal(0, 0.01, (3, 1)) + rng.normal(0, 0.05, (3, 100))) for _ in "ab"]
    found = differ_by_items(arms[0], arms[1])
    facts = {"variance": found.variance, "shares": found.shares}
    spread = spread_of(facts, 100, 3)
    assert spread is not None and not spread.guessed
    assert found.variance == pytest.approx(spread.of_items + spread.of_seed / 3)
    # Arms of their own variances are taken for alike, so the degrees of freedom differ a little.
    assert spread.smallest(3, 0.05) == pytest.approx(found.smallest_effect(0.05), rel=0.3)


def test_more_seeds_see_more_until_the_items_are_what_is_left() -> None:
    spread = Spread(items=200, of_items=1e-6, of_seed=1e-3, guessed=False)
    seen = [spread.smallest(seeds, 0.05) for seeds in (2, 3, 5, 10, 10**6)]
    assert None not in seen and seen == sorted(seen, key=lambda each: -(each or 0))
    # (1.972 + 0.843) sqrt(1e-6) of 199 degrees of freedom
    assert seen[-1] == pytest.approx(0.0028, abs=1e-4)
    assert spread.smallest(1, 0.05) is None


def test_guesses_are_as_the_simulation_had_them() -> None:
    losses = guess_spread("nll", 1000)
    assert losses is not None and losses.guessed
    # Two arms of sd .05 and seeds of .003 at 1,000 items: .0138 (2 seeds), .0105 (3), .0075 (10).
    seen = [losses.smallest(seeds, 0.05) for seeds in (2, 3, 10)]
    assert seen == pytest.approx([0.0138, 0.0105, 0.0075], rel=0.15)
    assert guess_spread("margin", 1000) is None
    assert spread_of({"variance": None, "shares": None}, 10, 1) is None
