"""What to generate for next: stored verdicts, round by round, through MoPPS."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from pipeline.advice.mopps import Aim, Posterior, choose_tasks, draw_rates, update
from scorers.arrays import Ints


class NoVerdictsError(ValueError):
    """No run has judged an answer, so there is nothing to go by."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class SuggestionRequest:
    """What is asked of a suggestion."""

    count: int = 8
    memory: float = 1.0
    """How much of earlier rounds is remembered; see `mopps`."""
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


def suggest_tasks(verdicts: pa.Table, wanted: SuggestionRequest) -> list[Suggestion]:
    """The tasks to generate for next, the best first; all of them where there are fewer.

    Args:
        verdicts: columns round, task, correct and tried.
        wanted: how many, and which.

    Raises:
        NoVerdictsError: if there are none.
    """
    if not len(verdicts):
        raise NoVerdictsError(
            "no answer has been judged in this workspace: run a recipe with a correct_answer step"
        )
    names, indices = np.unique(verdicts["task"].to_numpy(), return_inverse=True)
    rounds, counts = (
        verdicts["round"].to_numpy(),
        np.stack([verdicts["correct"].to_numpy(), verdicts["tried"].to_numpy()]),
    )
    posterior = Posterior.unknown(len(names))
    totals = np.zeros((2, len(names)), dtype=np.int64)
    for round in range(int(rounds.max()) + 1):
        now = per_task(counts[:, rounds == round], indices[rounds == round], len(names))
        posterior = update(posterior, now[0], now[1], wanted.memory)
        totals += now
    drawn = draw_rates(posterior, names, wanted.seed, int(rounds.max()) + 1)
    chosen = choose_tasks(drawn, names, min(wanted.count, len(names)), wanted.aim)
    return [
        Suggestion(
            str(names[at]),
            int(totals[0, at]),
            int(totals[1, at]),
            float(posterior.mean[at]),
            float(drawn[at]),
        )
        for at in chosen
    ]


def per_task(counts: Ints, indices: Ints, tasks: int) -> Ints:
    """(2, tasks) counts of one round at the places of their tasks."""
    placed = np.zeros((2, tasks), dtype=np.int64)
    placed[:, indices] = counts
    return placed
