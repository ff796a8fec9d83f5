"""MPTS: predict the loss of tasks that were not tried, and take the worst and the least certain.

    A_i = g0 * mean_s y_is + g1 * std_s y_is,   y_is = decoder(x_i, z_s),   z_s ~ q(z)

x_i describes task i by numbers, such as a centroid of embeddings and the log of its size. q is a
normal distribution over what all tasks have in common, inferred by an encoder from the descriptions
and losses of the round before; in the first round it is N(0, 1). After each round there is one step
of Adam on

    sum_i (mean_s y_is - loss_i)^2 + KL(q || prior)

and q becomes the prior of the next: a streaming variational update. Losses are standardised by all
seen so far, or the two terms would drift apart.

What it is for: skills, sources or clusters with a loss each, too many to try them all. Only the
last round conditions q, so it is noisy with few tasks in a round. Tried on risks of one number, the
order of the predictions was right after 200 rounds, but their deviation was no larger where nothing
had been tried; so half of each round is random unless told otherwise, as in one of the authors'
settings. Where answers are right or wrong, `mopps` needs no training and is the one to begin with.
It costs milliseconds a round.

MPTS, 2025, arXiv:2501.11039. The authors size the prior by another layer than z, which works as
long as the two are equal; here it has the size of z.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from pipeline.ranking.order import sort_rows
from pipeline.selection.methods.random import random_keys
from scorers.arrays import Floats, Ints, Strings, require_same_length

NARROWEST, SPREAD = 0.1, 0.9
"""A standard deviation of q is 0.1 + 0.9 * sigmoid."""


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """How the risk learner is built and taught; the authors' values for their sinusoids."""

    width: int = 10
    """Of hidden layers, of the summary of a round, and of z."""
    samples: int = 20
    """Of z, for each prediction."""
    learning_rate: float = 5e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TaskPrediction:
    """What is expected of m tasks, in the unit of the losses."""

    mean: Floats
    """(m,)"""
    deviation: Floats
    """(m,) how much the samples disagree."""

    def acquisition(self, g0: float = 1.0, g1: float = 3.0) -> Floats:
        """(m,) the worth of trying each: the expected loss, and how unsure that is."""
        return g0 * self.mean + g1 * self.deviation


class RiskLearner:
    """A neural process from descriptions of tasks to their losses."""

    def __init__(self, dimensions: int, settings: LearnerSettings | None = None) -> None:
        """Build an untaught one, for tasks that so many numbers describe."""
        self.settings = settings = settings or LearnerSettings()
        width = settings.width
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
            torch.manual_seed(settings.seed)
            self.encoder = _perceptron(dimensions + 1, width, width, hidden=2)
            self.to_mean, self.to_spread = nn.Linear(width, width), nn.Linear(width, width)
            self.decoder = _perceptron(dimensions + width, 1, width, hidden=3)
        parts = nn.ModuleList([self.encoder, self.to_mean, self.to_spread, self.decoder])
        self._adam = torch.optim.Adam(parts.parameters(), lr=settings.learning_rate)
        self._noise = torch.Generator().manual_seed(settings.seed)
        self._prior = Normal(torch.zeros(width), torch.ones(width))
        self._seen = np.empty(0)  # every loss so far, which give the scale of the next
        self._last: tuple[Tensor, Floats] | None = None  # (m, d) descriptions, (m,) losses

    @torch.no_grad()
    def predict(self, descriptions: Floats) -> TaskPrediction:
        """Say what is expected of tasks (m, d), each number brought to a like scale."""
        said = self._decode(_as_tensor(descriptions), self._infer()).numpy().astype(np.float64)
        centre, spread = self._scale()
        return TaskPrediction(said.mean(axis=0) * spread + centre, said.std(axis=0) * spread)

    def observe(self, descriptions: Floats, losses: Floats) -> None:
        """Learn from the tasks of a round.

        Args:
            descriptions: (m, d) of the tasks that were tried.
            losses: (m,) how they went, in any unit.

        Raises:
            ValueError: if lengths differ, nothing was tried, or a loss is not finite.
        """
        require_same_length(descriptions=descriptions, losses=losses)
        if not len(losses) or not np.isfinite(losses).all():
            raise ValueError("expected a finite loss for each of one or more tasks")
        self._seen = np.concatenate([self._seen, losses])
        self._last = _as_tensor(descriptions), losses
        q = self._infer()
        said = self._decode(self._last[0], q).mean(dim=0)
        loss = ((said - self._standardised(losses)) ** 2).sum()
        loss = loss + kl_divergence(q, self._prior).sum()
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        with torch.no_grad():  # a constant of the next round: nothing is learnt through it
            self._prior = self._infer()

    def _infer(self) -> Normal:
        """q(z) after the last round; the prior before the first."""
        if self._last is None:
            return self._prior
        descriptions, losses = self._last
        pairs = torch.cat([descriptions, self._standardised(losses)[:, None]], dim=1)  # (m, d + 1)
        summary = self.encoder(pairs).mean(dim=0)  # (width,): the order of tasks has no say
        spread = NARROWEST + SPREAD * torch.sigmoid(self.to_spread(summary))
        return Normal(self.to_mean(summary), spread)

    def _decode(self, descriptions: Tensor, q: Normal) -> Tensor:
        """(samples, m) standardised losses."""
        # Not q.rsample, which draws from the global generator.
        z = q.loc + q.scale * torch.randn(
            self.settings.samples, self.settings.width, generator=self._noise
        )
        tasks = descriptions.expand(len(z), *descriptions.shape)  # (samples, m, d)
        each = z[:, None].expand(-1, len(descriptions), -1)  # (samples, m, width)
        said: Tensor = self.decoder(torch.cat([tasks, each], dim=2))[:, :, 0]
        return said

    def _scale(self) -> tuple[float, float]:
        """Mean and deviation of all losses seen; 0 and 1 before the first."""
        if not len(self._seen):
            return 0.0, 1.0
        deviation = float(self._seen.std())
        return float(self._seen.mean()), deviation if deviation > 1e-6 else 1.0  # else: all alike

    def _standardised(self, losses: Floats) -> Tensor:
        centre, spread = self._scale()
        return _as_tensor((losses - centre) / spread)


def choose_risky(
    worth: Floats,
    ids: Strings,
    count: int,
    random_share: float = 0.5,
    seed: int = 0,
    round: int = 0,
) -> Ints:
    """Take the tasks most worth trying, and some at random.

    Args:
        worth: (m,) from `TaskPrediction.acquisition`.
        ids: (m,) distinct; the lower one wins a tie.
        count: How many.
        random_share: Of them, rounded down, how many are drawn from the others.
        seed: Of the draw, which is a hash of seed, round and task.
        round: Which round this is.

    Returns:
        (count,) tasks: by worth, then those drawn.

    Raises:
        ValueError: if lengths differ, the share is no share, or there are not so many tasks.
    """
    require_same_length(worth=worth, ids=ids)
    if not 0 <= random_share <= 1:
        raise ValueError(f"random_share must be from 0 to 1, got {random_share}")
    if not 0 <= count <= len(ids):
        raise ValueError(f"there are {len(ids)} tasks, {count} were asked for")
    ranked = sort_rows(-worth, ids)
    kept = count - int(count * random_share)
    others = ranked[kept:]  # the draw is among those that worth did not choose
    keys = random_keys([str(each) for each in ids[others]], seed, f"mpts {round}")
    return np.concatenate((ranked[:kept], others[sort_rows(keys, ids[others])[: count - kept]]))


def _perceptron(inputs: int, outputs: int, width: int, hidden: int) -> nn.Sequential:
    widths = pairwise([inputs, *[width] * hidden])  # inputs and outputs of each hidden layer
    layers = [part for each in widths for part in (nn.Linear(*each), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def _as_tensor(numbers: Floats) -> Tensor:
    return torch.as_tensor(np.asarray(numbers, dtype=np.float32))
