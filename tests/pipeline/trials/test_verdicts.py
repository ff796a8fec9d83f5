"""What is said of an arm: each verdict, Holm over arms, and how often any is wrong by chance."""

import numpy as np
import pytest

from pipeline.trials.comparison import Arm, Difference, differ_by_items
from pipeline.trials.looks import look_levels
from pipeline.trials.verdicts import Aims, adjust_chances, judge_arms

AIMS = Aims(smallest=0.01)


def differing(mean: float, error: float = 0.01) -> Difference:
    return Difference(mean, error**2, 1000.0, None)


def word(*differences: Difference, aims: Aims = AIMS, at_floor: bool = False) -> str:
    return judge_arms({"choice": differences}, aims, at_floor)["choice"].said


def test_a_lower_loss_is_better_and_a_higher_accuracy_too() -> None:
    assert word(differing(-0.1)) == "better" and word(differing(0.1)) == "worse"
    accuracy = Aims(0.01, lower_is_better=False)
    assert word(differing(0.1), aims=accuracy) == "better"
    assert word(differing(-0.1), aims=accuracy) == "worse"


def test_every_learning_rate_has_to_say_it() -> None:
    assert word(differing(-0.1), differing(-0.08)) == "better"
    assert word(differing(-0.1), differing(0.1)) == "depends on the learning rate"
    assert word(differing(-0.1), differing(0.001, 0.001)) == "depends on the learning rate"
    assert word(differing(-0.1), differing(-0.01)).startswith("not decided")


def test_a_difference_that_does_not_matter_is_none() -> None:
    assert word(differing(0.004, 0.001)) == "no difference larger than 0.01"
    assert word(differing(0.009, 0.001)).startswith("worse"), "the interval goes beyond"


def test_what_cannot_be_told_says_how_much_could_have_been() -> None:
    # (1.962 + 0.842) * 0.01
    assert word(differing(0.01)) == "not decided (smallest detectable 0.028)"


def test_no_interval_and_no_variance() -> None:
    alone = Difference(-0.1, None, 0.0, None)
    assert word(alone) == "one seed: no interval"
    assert word(differing(-0.1), alone) == "one seed: no interval"
    assert word(Difference(0.0, 0.0, 3.0, None)) == "at floor"
    assert word(differing(-0.1), at_floor=True) == "at floor"


def test_holm_by_hand() -> None:
    adjusted = adjust_chances({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert adjust_chances({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    # chance .03 alone is below .05; beside two others it is not.
    found = {"a": [differing(-0.0217)], "b": [differing(0.0)], "c": [differing(0.0)]}
    assert judge_arms({"a": found["a"]}, AIMS)["a"].word == "better"
    beside = judge_arms(found, AIMS)["a"]
    # At a third of the level: (2.399 + 0.842) * 0.01.
    assert beside.said == "not decided (smallest detectable 0.032)"


def family_errors(looks: list[int], level_at: list[float], trials: int) -> float:
    """How often any of four arms that are like the control is called better or worse."""
    rng = np.random.default_rng(5)
    wrong = 0
    most, items = looks[-1], 60
    for _ in range(trials):
        base = rng.normal(1, 0.3, items)
        arms = [
            base
            + rng.normal(0, 0.02, items)
            + rng.normal(0, 0.01, (most, 1))
            + rng.normal(0, 0.02, (most, items))
            for _ in range(5)
        ]
        for seeds, level in zip(looks, level_at, strict=True):
            found = {
                str(at): [differ_by_items(Arm(arm[:seeds]), Arm(arms[0][:seeds]))]
                for at, arm in enumerate(arms[1:])
            }
            said = judge_arms(found, Aims(smallest=0.0, level=level)).values()
            if any(each.word in ("better", "worse") for each in said):
                wrong += 1
                break
    return wrong / trials


def test_four_arms_like_the_control_are_seldom_called_different() -> None:
    assert family_errors([3], [0.05], 300) <= 0.07


def test_neither_are_they_where_one_looks_three_times() -> None:
    looks = [3, 5, 8]
    assert family_errors(looks, look_levels(looks), 300) <= 0.07
