"""What a trial came to: every arm beside the one it is compared with, and a verdict of each.

All numbers are from the stored items of its trainings, and nothing is taken from anywhere else:
docs/trials.md has the SQL. Each comparison is made twice, on all items and on those that no arm
holds something of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pipeline.trials.comparison import Arm, Difference, differ_by_items
from pipeline.trials.evaluations import TrialItems
from pipeline.trials.leaks import Leaks
from pipeline.trials.verdicts import Aims, ArmVerdict, judge_arms
from scorers.arrays import Floats, Ints
from storage.database import Connection
from storage.trial_items import ItemValues, Replicate, read_items

HIGHER_IS_BETTER = ("margin", "accuracy", "exact")

FLOOR_WIDTH = 2.8
"""Standard errors of guessing within which an accuracy is at chance: 1.96 + 0.84."""


@dataclass(frozen=True, slots=True)
class Design:
    """What is compared, as the plan has it."""

    against: str
    primary: str
    """The evaluation that decides."""
    smallest: float
    level: float
    """Of this look."""


@dataclass(frozen=True, slots=True)
class ComparedArm:
    """An arm at one learning rate, beside the one it is compared with, in one metric."""

    arm: str
    learning_rate: float | None
    """None: not trained."""
    seed_means: tuple[float, ...]
    mean: float
    difference: float | None
    """None of the arm that others are compared with."""
    interval: tuple[float, float] | None
    variance: float | None
    shares: tuple[float, float, float] | None
    """Of the variance: from items, from the trainings of the arm, from those of the other."""


@dataclass(frozen=True, slots=True)
class MetricTable:
    """All arms in one metric of one evaluation."""

    evaluation: str
    evaluation_id: str
    metric: str
    items: int
    clusters: int
    """How many of them are independent."""
    rows: tuple[ComparedArm, ...]
    unleaked: int
    """Items that no arm holds something of."""
    unleaked_rows: tuple[ComparedArm, ...]
    """The same on those alone; none where they are all, or too few."""


class TrialValues:
    """Reads the items of a trial's replicates as aligned arrays."""

    def __init__(self, con: Connection, replicates: Sequence[Replicate]) -> None:
        self._con = con
        self.replicates = sorted(replicates, key=lambda each: (each.arm, each.seed))
        self.rates = sorted({each.learning_rate for each in replicates if each.learning_rate})
        self.arms = list(dict.fromkeys(each.arm for each in replicates))

    def read(self, evaluation_id: str, metric: str) -> dict[tuple[str, float | None], "ArmItems"]:
        """Arm and learning rate → its values, those of its seeds in their order.

        Raises:
            ValueError: if replicates have other items: they would be aligned by luck.
        """
        found: dict[tuple[str, float | None], list[ItemValues]] = {}
        for each in self.replicates:
            values = read_items(self._con, each.replicate_id, evaluation_id, metric)
            found.setdefault((each.arm, each.learning_rate), []).append(values)
        first = next(iter(found.values()))[0]
        if any(
            v.items != first.items or v.tokens != first.tokens for a in found.values() for v in a
        ):
            raise ValueError(f"trainings have other items of evaluation {evaluation_id}")
        return {key: ArmItems.of(values, key[1] is not None) for key, values in found.items()}


@dataclass(frozen=True, slots=True)
class ArmItems:
    """The values of an arm with what the items are."""

    values: Floats
    """(trainings, items)"""
    trained: bool
    items: Ints
    tokens: Floats
    clusters: Ints
    """(items,) codes; an item without a cluster is one by itself."""

    @classmethod
    def of(cls, values: Sequence[ItemValues], trained: bool) -> "ArmItems":
        """Stack what the trainings of an arm made of the same items."""
        first = values[0]
        # An item by itself is called by its number, which no cluster's text is.
        named = [
            f"item {item}" if cluster is None else f"cluster {cluster}"
            for item, cluster in zip(first.items, first.clusters, strict=True)
        ]
        return cls(
            np.array([each.values for each in values], dtype=np.float64),
            trained,
            np.array(first.items, dtype=np.int64),
            np.array(first.tokens, dtype=np.float64),
            np.unique(named, return_inverse=True)[1].astype(np.int64),
        )

    def without(self, leaked: set[int]) -> "ArmItems":
        """The same without some items."""
        kept = ~np.isin(self.items, sorted(leaked))
        return ArmItems(
            self.values[:, kept],
            self.trained,
            self.items[kept],
            self.tokens[kept],
            self.clusters[kept],
        )

    def seed_means(self) -> tuple[float, ...]:
        """The mean of each training, per token."""
        return tuple((self.values.sum(axis=1) / self.tokens.sum()).tolist())

    def arm(self) -> Arm:
        """For the comparison."""
        return Arm(self.values, self.trained)


Arms = Mapping[tuple[str, float | None], ArmItems]


def metrics_of(evaluation: TrialItems) -> tuple[str, ...]:
    """What is stored of an evaluation's items, that which decides first."""
    metric = evaluation.settings.metric
    return ("margin", "accuracy") if metric == "choice" else (metric,)


def tabulate(
    values: TrialValues, evaluations: Sequence[TrialItems], leaks: Leaks, design: Design
) -> list[MetricTable]:
    """Every arm in every metric of every evaluation."""
    tables = []
    for evaluation in evaluations:
        leaked = set().union(*(found[evaluation.name] for found in leaks.values()))
        for metric in metrics_of(evaluation):
            arms = values.read(evaluation.evaluation_id, metric)
            clean = {key: each.without(leaked) for key, each in arms.items()}
            left = len(next(iter(clean.values())).items)
            told = leaked and left > 1 and len(np.unique(next(iter(clean.values())).clusters)) > 1
            tables.append(
                MetricTable(
                    evaluation.name,
                    evaluation.evaluation_id,
                    metric,
                    len(evaluation.items),
                    evaluation.clusters,
                    tuple(compare_all(arms, values, design)),
                    left,
                    tuple(compare_all(clean, values, design)) if told else (),
                )
            )
    return tables


def compare_all(arms: Arms, values: TrialValues, design: Design) -> Iterator[ComparedArm]:
    """Each arm at each learning rate, the untrained one beside each of them."""
    for rate in values.rates:
        for name in values.arms:
            own = arms.get((name, rate)) or arms[name, None]
            found = None if name == design.against else differ(arms, name, rate, design.against)
            means = own.seed_means()
            yield ComparedArm(
                name,
                rate,
                means,
                float(np.mean(means)),
                found.mean if found else None,
                found.interval(1 - design.level) if found else None,
                found.variance if found else None,
                found.shares if found else None,
            )


def differ(arms: Arms, name: str, rate: float, against: str) -> Difference:
    """One arm less the one it is compared with, at one learning rate."""
    own, other = arms.get((name, rate)) or arms[name, None], arms[against, rate]
    return differ_by_items(own.arm(), other.arm(), own.tokens, own.clusters)


def judge_trial(
    values: TrialValues, evaluation: TrialItems, leaked: set[int], design: Design
) -> dict[str, ArmVerdict]:
    """The verdict of each trained arm by the primary evaluation.

    Args:
        values: of all replicates.
        evaluation: the primary one.
        leaked: its items that are left out; none for the verdict on all.
        design: of the trial.
    """
    metric = metrics_of(evaluation)[0]
    arms = {
        key: each.without(leaked)
        for key, each in values.read(evaluation.evaluation_id, metric).items()
    }
    trained = list(dict.fromkeys(name for name, rate in arms if rate is not None))
    found = {
        name: [differ(arms, name, rate, design.against) for rate in values.rates]
        for name in trained
        if name != design.against
    }
    aims = Aims(design.smallest, design.level, metric not in HIGHER_IS_BETTER)
    return judge_arms(found, aims, at_floor(values, evaluation))


def at_floor(values: TrialValues, evaluation: TrialItems) -> bool:
    """Whether every arm, the untrained model among them, does no better than guessing."""
    chance = evaluation.chance
    if chance is None:
        return False
    found = values.read(evaluation.evaluation_id, "accuracy").values()
    width = FLOOR_WIDTH * np.sqrt(chance * (1 - chance) / len(evaluation.items))
    return all(abs(float(each.values.mean()) - chance) < width for each in found)


def as_facts(tables: Sequence[MetricTable]) -> list[dict[str, object]]:
    """Tables as JSON has them."""
    return [asdict(each) for each in tables]
