"""What training a proxy will cost, measured on a few rows.

A trajectory run trains `epochs` times on every row, and reads every row at each of `checkpoints`
steps. Both are timed here on rows like those, with the same trainer and the same engine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scorers.measures.models.devices import resolve_device
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.training.proxy_schedule import ProxySettings, Schedule
from scorers.measures.training.proxy_training import ProxyTrainer
from scorers.measures.training.recorded_losses import forward_precision, mean_losses

if TYPE_CHECKING:
    from scorers.measures.reading.chat_format import RenderedExample


@dataclass(frozen=True, slots=True)
class ProxyCost:
    """Seconds for each token, prompt and response."""

    train: float  # of one pass forward and backward, the optimizer's steps among it
    record: float  # of one reading of the losses

    def seconds(self, tokens: int, settings: ProxySettings) -> float:
        """Of a whole run over so many tokens."""
        trained = self.train * settings.epochs * settings.train_share
        return tokens * (trained + self.record * settings.checkpoints)


def time_proxy(proxy: Path, rows: Sequence[RenderedExample], settings: ProxySettings) -> ProxyCost:
    """Train on some rows for an epoch, and read them once; nothing is kept.

    Args:
        proxy: folder of the model.
        rows: a few batches of rows, none without a response and none longer than the window.
        settings: of the run that is planned.

    Raises:
        ValueError: if there are no rows.
    """
    if not rows:
        raise ValueError("there is no row to time the proxy on")
    device = resolve_device(settings.device)
    model = HuggingFaceLanguageModel.from_directory(proxy, "float32", device)
    small = replace(settings, epochs=1, batch_rows=min(settings.batch_rows, len(rows)))
    schedule = Schedule.of(len(rows), small)
    precision = forward_precision(device, settings)
    trainer = ProxyTrainer(model.model, rows, schedule, precision)
    trainer.step()  # the first is slower: memory is taken, kernels are chosen
    trainer.steps_taken = 0  # so that the untimed step is not of the epoch
    started = time.perf_counter()
    for _ in range(schedule.steps):
        trainer.step()
    trained = time.perf_counter()
    with precision:
        mean_losses(model, rows)
    read = time.perf_counter()
    tokens = sum(len(row.prompt) + len(row.response) for row in rows)
    return ProxyCost(train=(trained - started) / tokens, record=(read - trained) / tokens)
