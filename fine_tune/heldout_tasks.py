"""Tasks whose weights follow their held-out losses: which rows are asked, and what was said.

The losses of every step are in the trainer's own log, which is in each checkpoint; the weights are
taken from them anew at each step. So a resumed training has those of one that was not killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fine_tune.balance import task_shares, tasks_of
from fine_tune.evaluate import RowLosses, loss_of_rows
from fine_tune.method import TrainingMethod
from fine_tune.methods.coba import task_method
from fine_tune.mixed_export import MixedExport
from fine_tune.mixture import draw_places
from fine_tune.settings import TrainSettings
from scorers.arrays import Floats

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

LOSSES = "task_losses"
"""In an entry of the log: (K,) what the held-out losses were after its step."""


class AskedTrainer(RowLosses, Protocol):
    """A trainer, as the losses of its tasks are asked."""

    accelerator: Any
    args: Any

    def loaded_model(self) -> torch.nn.Module:
        """The model that is trained."""
        ...


@dataclass(frozen=True, slots=True)
class HeldOutTasks:
    """The tasks of a training, and the rows that say how far it is with each."""

    method: TrainingMethod
    names: tuple[str, ...]
    """(K,) in the order of their numbers."""
    shares: Floats
    """(K,) what they count before the method weighs them; together 1."""
    rows: tuple[Dataset, ...]
    """(K,) held-out rows of each, as the trainer prepared them."""

    def factors(self, log: Iterable[Mapping[str, Any]]) -> Floats:
        """(K,) times which the rows of a task count; over an epoch their mean per token is 1."""
        measured = [entry[LOSSES] for entry in log if LOSSES in entry]
        losses = np.array(measured, dtype=np.float64).reshape(-1, len(self.names))
        weights = self.method.task_weights(losses)
        factors: Floats = weights / (self.shares @ weights)
        return factors

    def measure(self, trainer: AskedTrainer) -> list[float]:
        """(K,) held-out losses of the model as it is, the same in every process.

        Raises:
            FloatingPointError: if one is not a number.
        """
        import torch

        model = trainer.loaded_model()
        training = model.training
        found = [loss_of_rows(trainer, rows).nats_per_token for rows in self.rows]
        model.train(training)
        losses = torch.tensor(found, dtype=torch.float64, device=trainer.args.device)
        alike: torch.Tensor = trainer.accelerator.reduce(losses, "mean")
        if not alike.isfinite().all():
            raise FloatingPointError(
                f"{self.method.method}: the held-out losses of {', '.join(self.names)} are "
                f"{alike.tolist()}; a lower learning_rate may help"
            )
        return [float(loss) for loss in alike]

    def said(self, log: Iterable[Mapping[str, Any]]) -> str:
        """What the tasks counted at the end, for the report."""
        counted = self.shares * self.factors(log)
        told = [
            f"{name} {at_end:.3f} (at first {share:.3f})"
            for name, at_end, share in zip(self.names, counted, self.shares, strict=True)
        ]
        return f"{self.method.method}: weights at the end: {', '.join(told)}"


def heldout_tasks(
    settings: TrainSettings, trained: Dataset, held_out: Dataset | None
) -> HeldOutTasks | None:
    """The tasks that a training weighs by their held-out losses; None where it does not.

    Args:
        settings: of the training.
        trained: all rows of the export, with `source`: the number of a task is its place among
            their sources.
        held_out: prepared rows with `source` and `example_id`; None: the export has none.

    Raises:
        ValueError: if a task has no held-out row, or the training ends before weights would move.
    """
    method = task_method(settings.methods)
    if method is None or settings.balance is None:
        return None
    names = sorted(set(tasks_of(trained["source"], settings.balance)))
    tasks = np.array(tasks_of(held_out["source"], settings.balance) if held_out else [], dtype=str)
    if without := [name for name in names if not (tasks == name).any()]:
        raise ValueError(
            f"coba follows the held-out loss of each task, and {', '.join(without)} has no "
            "held-out row: raise select.held_out in the recipe, or leave coba out"
        )
    assert held_out is not None  # it has a row of each task
    rows = []
    for name in names:
        own = held_out.select(np.flatnonzero(tasks == name))
        at_most = MixedExport(rows=method.rows)
        rows.append(own.select(draw_places(own["example_id"], at_most, settings.seed)))
    weights = None if settings.balance == "source" else settings.balance
    return HeldOutTasks(method, tuple(names), task_shares(names, weights), tuple(rows))


def stand_in_tasks(settings: TrainSettings, rows: Dataset) -> HeldOutTasks | None:
    """As many tasks as a training will have, to try what asking for their losses costs.

    Args:
        settings: of the training.
        rows: prepared ones, with `source`, of which each task is to read some.
    """
    method = task_method(settings.methods)
    if method is None:
        return None
    by_source = settings.balance in (None, "source")
    names = tuple(sorted(set(rows["source"]) if by_source else settings.balance or ()))
    asked = rows.select(range(min(len(rows), method.rows)))
    return HeldOutTasks(method, names, task_shares(names, None), (asked,) * len(names))
