"""How a proxy is trained: the settings a user chooses, and what follows from them for each step."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

MEGABATCH = 50
"""Batches that are shuffled together and then sorted by length: less padding, still mixed."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How the proxy is trained: full fine-tuning, S2L's values where it gives them."""

    epochs: int = 3
    batch_rows: int = 32  # rows per optimizer step
    learning_rate: float = 2e-5  # at its highest, after the warm-up
    warmup_share: float = 0.03  # of all steps
    checkpoints: int = 12  # times the losses are recorded; fewer where there are fewer steps
    max_tokens: int = 2048
    """Longest row, prompt and response together; longer ones are left out. The model's own window
    holds as well."""
    train_share: float = 1.0
    """Of the rows; the losses of all are recorded. 0.05 does for pools of millions."""
    seed: int = 0
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the forward passes; weights are float32 always. "auto": bfloat16 on a GPU."""
    device: str = "auto"
    keep_checkpoints: bool = True
    """Keep the weights of each recorded step as a model folder, `model-STEP`, to read rows that
    come later. It takes parameters x 4 bytes x checkpoints of disk. A finished run is not run
    again for it."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no training."""
        counts = (self.epochs, self.batch_rows, self.checkpoints, self.max_tokens)
        if min(counts) < 1:
            raise ValueError(
                "epochs, batch_rows, checkpoints and max_tokens must be at least 1, got "
                f"{', '.join(map(str, counts))}"
            )
        if self.learning_rate <= 0 or self.seed < 0:
            raise ValueError(
                "learning_rate must be above 0 and seed not negative, got "
                f"{self.learning_rate} and {self.seed}"
            )
        if not (0 <= self.warmup_share < 1 and 0 < self.train_share <= 1):
            raise ValueError(
                "warmup_share must be in [0, 1) and train_share in (0, 1], got "
                f"{self.warmup_share} and {self.train_share}"
            )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which rows are in which step, and how large the step is."""

    rows: int
    epochs: int
    batch_rows: int
    learning_rate: float  # at its highest
    warmup_share: float  # of all steps
    seed: int

    @property
    def steps(self) -> int:
        """Optimizer steps in all epochs together."""
        return self.epochs * math.ceil(self.rows / self.batch_rows)

    @classmethod
    def of(cls, rows: int, settings: ProxySettings) -> Self:
        """The schedule of a training on so many rows."""
        return cls(
            rows=rows,
            epochs=settings.epochs,
            batch_rows=settings.batch_rows,
            learning_rate=settings.learning_rate,
            warmup_share=settings.warmup_share,
            seed=settings.seed,
        )

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0: up in a line, down in a half cosine."""
        warmup = math.ceil(self.warmup_share * self.steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup  # + 1: a rate of 0 would train nothing
        passed = (step - warmup) / max(1, self.steps - warmup)
        return self.learning_rate * (1 + math.cos(math.pi * passed)) / 2

    def epoch_batches(self, epoch: int, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Row numbers of each batch of an epoch; every row once.

        Args:
            epoch: from 0.
            lengths: (rows,) tokens of each row.
        """
        rng = np.random.default_rng([self.seed, epoch])  # any epoch alone, after a kill
        shuffled = rng.permutation(self.rows)
        size = MEGABATCH * self.batch_rows
        mega = [shuffled[at : at + size] for at in range(0, self.rows, size)]
        # Stable, so that equal lengths stay shuffled, and the same on every machine.
        ordered = np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in mega])
        batches = [
            ordered[at : at + self.batch_rows] for at in range(0, self.rows, self.batch_rows)
        ]
        return [batches[at] for at in rng.permutation(len(batches))]  # not short ones first


@dataclass(frozen=True, slots=True)
class LinearSchedule(Schedule):
    """The same batches with a rate that falls in a line to zero."""

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warmup = math.ceil(self.warmup_share * self.steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * (self.steps - step) / max(1, self.steps - warmup)

    def epoch_rates(self) -> list[float]:
        """The mean rate of each epoch."""
        rates = [self.rate(step) for step in range(self.steps)]
        means: list[float] = np.array(rates).reshape(self.epochs, -1).mean(axis=1).tolist()
        return means
