"""How the loss of each row falls while a small proxy learns the whole pool (S2L).

    L[i, c] = mean negative log-likelihood per response token of row i after recorded step c

Rows whose losses fall alike have like gradients in the large model, so one may be taken for many.
The proxy is fine-tuned on all rows, and at `checkpoints` steps, evenly spread and the last one
among them, the loss of every row is taken with the weights as they are. Before training nothing is
recorded: the published trajectories begin after the first checkpoint, and in a distance between
raw losses the untrained model's would weigh most.

A trajectory depends on the whole pool, not on its own row alone: more rows mean other trajectories.
It does not depend on the order of the rows, which are sorted by id before anything else.

A run that was killed goes on from the last recorded step, and ends with the very numbers of one
that was not.

Rows that come later are read with the weights that were kept at each recorded step. They get the
numbers of rows that were recorded and not trained on: a little higher than if the proxy had learnt
them, so they are marked, and too many of them are a reason to train again.

Yang et al. 2024, "SmallToLarge (S2L)", arXiv:2403.07384. Where this departs from the released code:
rows too long for the window are left out and said to be, instead of cut; a row without a number has
no number, instead of 0; losses are taken in batches, in the data's own chat format.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scorers.measures.models.devices import resolve_autocast, resolve_device
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.model_cache import default_cache, directory_fingerprint
from scorers.measures.training.proxy_schedule import ProxySettings, Schedule
from scorers.measures.training.proxy_training import ProxyTrainer
from scorers.measures.training.recorded_losses import (
    Trajectories,
    find_unread_rows,
    forward_precision,
    mean_losses,
    with_states,
)
from scorers.measures.training.trajectory_files import TrajectoryFiles

if TYPE_CHECKING:
    from scorers.measures.reading.chat_format import RenderedExample

FORMAT = 1  # raised when the same rows and settings would give other numbers


def record_trajectories(
    proxy: Path,
    rows: Sequence[RenderedExample],
    ids: Sequence[str],
    settings: ProxySettings,
    directory: Path,
    on_step: Callable[[int, int], None] = lambda *_: None,
) -> Trajectories:
    """Train the proxy on the rows and record the loss of each on the way.

    Args:
        proxy: folder of the model to train; it is read only.
        rows: n rows as token ids of the proxy's tokenizer.
        ids: n different ids, in the order of the rows.
        settings: see ProxySettings.
        directory: for this pool and these settings alone; holds what is needed to go on.
        on_step: called with (steps taken, steps in all) after each step of the training.

    Returns:
        Trajectories of all rows. "truncated": longer than the window. "not_applicable": without a
        response token. "failed": a loss that is not finite.

    Raises:
        ValueError: if ids are not n different ones, or the directory belongs to other rows,
            settings or another proxy.
        RuntimeError: if training diverges.
    """
    if len(ids) != len(rows) or len(set(ids)) != len(ids):
        raise ValueError(f"expected {len(rows)} different ids, got {len(set(ids))} of {len(ids)}")
    problems = find_unread_rows(proxy, rows, settings)
    # From here on rows stand by their ids: the order they came in must not show in the numbers.
    used = sorted((at for at in range(len(rows)) if problems[at] is None), key=lambda at: ids[at])
    pool = _Pool([ids[at] for at in used], [rows[at] for at in used])
    steps = _recorded_steps(pool.schedule(settings).steps, settings.checkpoints)
    files = TrajectoryFiles(directory, steps, settings.keep_checkpoints)
    files.claim(_key(proxy, pool, settings))
    if not files.complete():
        _train_and_record(proxy, pool, settings, files, on_step)
    files.remove_unfinished()
    losses = np.full((len(rows), len(steps)), np.nan)
    trained = np.zeros(len(rows), dtype=np.bool_)
    if used:
        losses[used] = files.read_losses()  # back into the order of the rows given
        trained[np.array(used)[pool.trained(settings)]] = True
    return with_states(steps, losses, trained, problems)


@dataclass(frozen=True, slots=True)
class _Pool:
    """The rows that are trained on and measured, in the order of their ids."""

    ids: list[str]
    rows: list[RenderedExample]

    def trained(self, settings: ProxySettings) -> list[int]:
        """Places of `train_share` of the rows, drawn by a hash of the id: more rows leave most."""
        count = self.schedule(settings).rows
        draws = [hashlib.sha256(f"{settings.seed}/{each}".encode()).digest() for each in self.ids]
        return sorted(sorted(range(len(self.ids)), key=lambda at: draws[at])[:count])

    def schedule(self, settings: ProxySettings) -> Schedule:
        # Rounded first: 0.07 * 100 is a hair above 7, and would come to 8.
        return Schedule.of(math.ceil(round(settings.train_share * len(self.ids), 6)), settings)


def _key(proxy: Path, pool: _Pool, settings: ProxySettings) -> str:
    """SHA-256 of all that decides the numbers."""
    decisive = asdict(settings)
    del decisive["keep_checkpoints"], decisive["device"]  # numbers differ by rounding at most
    decisive["dtype"] = resolve_autocast(settings.dtype, settings.device)  # what "auto" is here
    parts = [FORMAT, directory_fingerprint(proxy, default_cache()), decisive]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for each, row in zip(pool.ids, pool.rows, strict=True):
        weights = [] if row.weights is None else [row.weights]
        digest.update(json.dumps([each, row.prompt, row.response, *weights]).encode())
    return digest.hexdigest()


def _recorded_steps(total: int, checkpoints: int) -> list[int]:
    """Steps after which losses are recorded: evenly spread, the last step among them."""
    # ceil(total * part / checkpoints); a set, for few steps share places; without a step, none.
    return sorted({-(-total * part // checkpoints) for part in range(1, checkpoints + 1)} - {0})


def _train_and_record(
    proxy: Path,
    pool: _Pool,
    settings: ProxySettings,
    files: TrajectoryFiles,
    on_step: Callable[[int, int], None],
) -> None:
    """Train from the newest saved state on, and record what is not recorded yet."""
    device = resolve_device(settings.device)
    model = HuggingFaceLanguageModel.from_directory(proxy, "float32", device)
    precision = forward_precision(device, settings)
    schedule = pool.schedule(settings)
    learnt = [pool.rows[at] for at in pool.trained(settings)]
    trainer = ProxyTrainer(model.model, learnt, schedule, precision)
    files.resume(trainer)
    for step in files.steps:
        if step <= trainer.steps_taken:
            continue
        while trainer.steps_taken < step:
            trainer.step()
            on_step(trainer.steps_taken, schedule.steps)
        if settings.keep_checkpoints:  # before the losses: they are the mark that all is there
            files.keep_model(step, model)
        with precision:
            files.write_losses(step, mean_losses(model, pool.rows))
        if step < schedule.steps:  # there is nothing to go on to from the last
            files.save_state(trainer)
