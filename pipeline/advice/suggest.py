"""What to generate for next: stored verdicts, round by round, through MoPPS or MPTS.

MoPPS names tasks of which answers were judged, and needs nothing but the verdicts. MPTS also names
tasks that no answer was judged of: it expects of a task what happened to tasks that are like it, by
the mean of the embeddings of their examples and by their number.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from pipeline.advice.mopps import Aim, Posterior, choose_tasks, draw_rates, update
from scorers.arrays import Floats, Strings
from storage.database import Connection
from storage.measurements import read_measurements, read_stored_keys
from storage.verdicts import read_task_members

DESCRIBED_BY = ("prompt", "both", "response")
"""Which stored embeddings describe a task: the first of these that there are."""


class NoVerdictsError(ValueError):
    """No run has judged an answer, or no task can be described, so there is nothing to go by."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class SuggestionRequest:
    """What is asked of a suggestion."""

    count: int = 8
    memory: float = 1.0
    """How much of earlier rounds MoPPS remembers."""
    aim: Aim = field(default_factory=Aim)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A task to generate for."""

    task: str
    correct: int
    """Answers that were right, in all rounds."""
    tried: int
    expected: float
    """Rate of success, by the posterior."""
    drawn: float
    """The rate that was drawn, and that it was chosen by."""


@dataclass(frozen=True, slots=True)
class RiskyTask:
    """A task to generate for, by what is expected of tasks like it."""

    task: str
    correct: int
    """Answers that were right, in all rounds."""
    tried: int
    """0 where none was judged."""
    wrong: float
    """Share of wrong answers that is expected."""
    unsure: float
    """Standard deviation of that share."""
    at_random: bool
    """Whether it was drawn, and not chosen by what is expected."""


@dataclass(frozen=True, slots=True)
class DescribedTasks:
    """Tasks by numbers."""

    names: Strings
    """(m,) sorted."""
    numbers: Floats
    """(m, d) each of mean 0 and deviation 1 over the tasks, or 0 where all are alike."""


def suggest_tasks(verdicts: pa.Table, wanted: SuggestionRequest) -> list[Suggestion]:
    """The tasks to generate for next, the best first; all of them where there are fewer.

    Args:
        verdicts: columns round, task, correct and tried.
        wanted: how many, and which.

    Raises:
        NoVerdictsError: if there are none.
    """
    require_verdicts(verdicts)
    names, indices = np.unique(verdicts["task"].to_numpy(), return_inverse=True)
    rounds, correct, tried = (verdicts[name].to_numpy() for name in ("round", "correct", "tried"))
    following = int(rounds.max()) + 1  # they count from 0
    posterior = Posterior.unknown(len(names))
    totals = np.zeros((2, len(names)), dtype=np.int64)  # answers that were right, and all
    for round in range(following):
        counts, now = np.zeros_like(totals), rounds == round
        counts[:, indices[now]] = correct[now], tried[now]  # a round has a task once at the most
        posterior = update(posterior, counts[0], counts[1], wanted.memory)
        totals += counts
    drawn = draw_rates(posterior, names, wanted.seed, following)
    chosen = choose_tasks(drawn, names, min(wanted.count, len(names)), wanted.aim)
    means = posterior.mean
    right, answers = totals.tolist()
    return [
        Suggestion(str(names[at]), right[at], answers[at], float(means[at]), float(drawn[at]))
        for at in chosen
    ]


def require_verdicts(verdicts: pa.Table) -> None:
    """Raise NoVerdictsError if there are none."""
    if not len(verdicts):
        raise NoVerdictsError(
            "no answer has been judged in this workspace: run a recipe with a correct_answer step"
        )


def describe_tasks(con: Connection, by: str) -> DescribedTasks:
    """Describe every task that has an embedding: the mean of its embeddings, and its size.

    Args:
        con: an open workspace.
        by: `source` or `prompt`.

    Raises:
        NoVerdictsError: if no embedding is stored.
    """
    # Reversed, so that of several models with the same text the first that is listed stays.
    keys = {key.settings["of"]: key for key in reversed(read_stored_keys(con, "embeddings"))}
    of = next((of for of in DESCRIBED_BY if of in keys), None)
    if of is None:
        raise NoVerdictsError(
            "mpts describes tasks by embeddings, and none is stored in this workspace: run a "
            "recipe with {of: prompt} in measure.embeddings, or take mopps"
        )
    members = read_task_members(con, by)
    ids = members["example_id"].to_pylist()
    _, columns = read_measurements(con, keys[of], ("embedding",), ids)
    vectors = columns["embedding"].reshape(len(ids), -1)  # (members, d)
    embedded = ~np.isnan(vectors).any(axis=1)
    names, tasks = np.unique(members["task"].to_numpy()[embedded], return_inverse=True)
    sizes = np.bincount(tasks, minlength=len(names))
    sums = np.zeros((len(names), vectors.shape[1]))
    np.add.at(sums, tasks, vectors[embedded])  # not sums[tasks] +=: that adds one of each task only
    numbers = np.column_stack([sums / sizes[:, None], np.log(sizes)])  # (m, d + 1)
    spread = numbers.std(axis=0)
    return DescribedTasks(names, (numbers - numbers.mean(axis=0)) / np.where(spread, spread, 1.0))


def suggest_untried(
    verdicts: pa.Table, tasks: DescribedTasks, wanted: SuggestionRequest
) -> list[RiskyTask]:
    """The tasks that are expected to go worst or are least known, and as many drawn at random.

    Args:
        verdicts: columns round, task, correct and tried; a task without a description is left out.
        tasks: to choose among, tried or not; all are named where there are fewer than asked for.
        wanted: how many, and the seed.

    Raises:
        NoVerdictsError: if no answer was judged, or none of a described task.
    """
    from pipeline.advice.mpts import LearnerSettings, RiskLearner, choose_risky

    require_verdicts(verdicts)
    described = verdicts.filter(pa.array(np.isin(verdicts["task"].to_numpy(), tasks.names)))
    if not len(described):
        raise NoVerdictsError("no task of which an answer was judged has an embedding")
    rounds, correct, tried = (described[name].to_numpy() for name in ("round", "correct", "tried"))
    indices = np.searchsorted(tasks.names, described["task"].to_numpy())  # names are sorted
    learner = RiskLearner(tasks.numbers.shape[1], LearnerSettings(seed=wanted.seed))
    for round in np.unique(rounds):
        now = rounds == round
        learner.observe(tasks.numbers[indices[now]], 1 - correct[now] / tried[now])
    expected = learner.predict(tasks.numbers)
    count = min(wanted.count, len(tasks.names))
    worth, following = expected.acquisition(), int(rounds.max()) + 1  # rounds count from 0
    chosen = choose_risky(worth, tasks.names, count, seed=wanted.seed, round=following)
    right, answers = (
        np.bincount(indices, weights=each, minlength=len(tasks.names)) for each in (correct, tried)
    )
    by_worth = count - count // 2  # those first; the random half is rounded down
    return [
        RiskyTask(
            str(tasks.names[at]),
            int(right[at]),
            int(answers[at]),
            float(np.clip(expected.mean[at], 0, 1)),
            float(expected.deviation[at]),
            place >= by_worth,
        )
        for place, at in enumerate(chosen)
    ]
