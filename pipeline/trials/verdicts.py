"""What a trial says of each arm, in words: the same at every learning rate, or it says so.

    better, worse        the difference is one at every learning rate, on the same side, after Holm
    no difference larger than delta          every interval lies within -delta and delta
    depends on the learning rate             it is one at some, and none or another at others
    not decided                              with the smallest difference that this could have seen
    at floor             the model untrained and every arm are at chance, or nothing varies
    one seed: no interval

An arm is judged by the learning rate that says least for it, so its chance is the largest of them:
each alone is a test of the whole claim. Over arms, Holm 1979. A difference within -delta and delta
is none that matters, however sure it is. No chance is told without its interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.trials.comparison import Difference

Word = Literal[
    "better",
    "worse",
    "no difference larger than",
    "not decided",
    "depends on the learning rate",
    "at floor",
    "one seed: no interval",
]


@dataclass(frozen=True, slots=True)
class Aims:
    """What a comparison was to find, written down before."""

    smallest: float
    """delta: a smaller difference does not matter; in the unit of the evaluation."""
    level: float = 0.05
    """How often any arm may be found different where none is."""
    lower_is_better: bool = True


@dataclass(frozen=True, slots=True)
class ArmVerdict:
    """What is said of one arm beside the one it is compared with."""

    word: Word
    chance: float | None
    """Adjusted over arms; None where there is no interval."""
    smallest: float | None
    """The least difference seen four times in five at the strictest level of Holm; None alike."""
    aims: Aims

    @property
    def said(self) -> str:
        """In a few words, with the number that belongs to them."""
        if self.word == "no difference larger than":
            return f"{self.word} {self.aims.smallest:g}"
        if self.word == "not decided" and self.smallest is not None:
            return f"not decided (smallest detectable {self.smallest:.2g})"
        return self.word


def judge_arms(
    found: Mapping[str, Sequence[Difference]],
    aims: Aims,
    at_floor: bool = False,
) -> dict[str, ArmVerdict]:
    """Judge each arm.

    Args:
        found: arm → its differences from the one it is compared with, one for each learning rate.
        aims: of the comparison.
        at_floor: whether the untrained model and every arm are at chance.
    """
    worst = {name: largest_chance(each) for name, each in found.items()}
    adjusted = adjust_chances({name: at for name, at in worst.items() if at is not None})
    strictest = aims.level / max(1, len(adjusted))
    verdicts = {}
    for name, each in found.items():
        word = "at floor" if at_floor else judge_arm(each, aims, adjusted.get(name), len(adjusted))
        least = [at for one in each if (at := one.smallest_effect(strictest)) is not None]
        verdicts[name] = ArmVerdict(word, adjusted.get(name), max(least, default=None), aims)
    return verdicts


def largest_chance(differences: Sequence[Difference]) -> float | None:
    """Of the learning rate that says least; None where one says nothing."""
    chances = [each.chance() for each in differences]
    known = [each for each in chances if each is not None]
    return max(known) if known and len(known) == len(chances) else None


def adjust_chances(chances: Mapping[str, float]) -> dict[str, float]:
    """Holm: the k-th smallest of m, times m - k + 1; none below the one before it, none above 1."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(chances, key=lambda name: (chances[name], name))):
        highest = max(highest, min(1.0, chances[name] * (len(chances) - place)))
        adjusted[name] = highest
    return adjusted


def judge_arm(
    differences: Sequence[Difference], aims: Aims, adjusted: float | None, arms: int
) -> Word:
    """Judge one arm by its differences, one for each learning rate."""
    if any(each.variance is None for each in differences):
        return "one seed: no interval"
    if all(each.variance == 0 for each in differences):
        return "at floor"
    if all(is_negligible(each, aims) for each in differences):
        return "no difference larger than"
    signs = {each.mean > 0 for each in differences}
    if adjusted is not None and adjusted < aims.level and len(signs) == 1:
        lower = differences[0].mean < 0
        return "better" if lower == aims.lower_is_better else "worse"
    sure = [(at := each.chance()) is not None and at * arms < aims.level for each in differences]
    if any(sure) and (len(signs) > 1 or any(is_negligible(each, aims) for each in differences)):
        return "depends on the learning rate"
    return "not decided"


def is_negligible(difference: Difference, aims: Aims) -> bool:
    """Whether all of the interval is too small to matter."""
    ends = difference.interval(1 - aims.level)
    return ends is not None and -aims.smallest < ends[0] and ends[1] < aims.smallest
