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

Yang et al. 2024, "SmallToLarge (S2L)", arXiv:2403.07384. Where this departs from the released code:
rows too long for the window are left out and said to be, instead of cut; a row without a number has
no number, instead of 0; losses are taken in batches, in the data's own chat format.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from scorers.measures.devices import resolve_device, resolve_dtype
from scorers.measures.language_model import HuggingFaceLanguageModel
from scorers.measures.model_cache import default_cache, directory_fingerprint
from scorers.measures.protocols import Floats
from scorers.measures.proxy_schedule import ProxySettings, Schedule
from scorers.measures.proxy_training import ProxyTrainer
from scorers.measures.trajectory_files import TrajectoryFiles

if TYPE_CHECKING:
    from scorers.measures.chat_format import RenderedExample

State = Literal["ok", "truncated", "failed", "not_applicable"]

FORMAT = 1
"""Raised when the same rows and settings would give other numbers."""

ROWS_AT_ONCE = 4096
"""Rows handed to the engine together; it sorts them by length."""


@dataclass(frozen=True, slots=True)
class Trajectories:
    """Losses of n rows at T recorded steps, aligned with the rows given."""

    steps: NDArray[np.int64]
    """(T,) optimizer steps taken, strictly increasing."""
    losses: Floats
    """(n, T) nats per response token; NaN in a row whose state is not "ok"."""
    states: list[State]
    """(n,)"""
    details: list[str | None]
    """(n,) why the state is not "ok"."""


def record_trajectories(
    proxy: Path,
    rows: Sequence[RenderedExample],
    ids: Sequence[str],
    settings: ProxySettings,
    directory: Path,
    on_checkpoint: Callable[[int, int], None] | None = None,
) -> Trajectories:
    """Train the proxy on the rows and record the loss of each on the way.

    Args:
        proxy: folder of the model to train; it is read only.
        rows: n rows as token ids of the proxy's tokenizer.
        ids: n different ids, in the order of the rows.
        settings: see ProxySettings.
        directory: for this pool and these settings alone; holds what is needed to go on.
        on_checkpoint: called with (steps taken, steps in all) when a recorded step is safe on disk.

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
    window = min(settings.max_tokens, _model_window(proxy))
    problems = [_problem(row, window) for row in rows]
    used = sorted((at for at in range(len(rows)) if problems[at] is None), key=lambda at: ids[at])
    pool = _Pool([ids[at] for at in used], [rows[at] for at in used])
    steps = _recorded_steps(pool.schedule(settings).steps, settings.checkpoints)
    files = TrajectoryFiles(directory, steps)
    files.claim(_key(proxy, pool, settings))
    if not files.complete():
        _train_and_record(proxy, pool, settings, files, on_checkpoint or _say_nothing)
    files.remove_states()
    losses = np.full((len(rows), len(steps)), np.nan)
    if used:
        losses[used] = files.read_losses()
    return _with_states(np.array(steps, dtype=np.int64), losses, problems)


@dataclass(frozen=True, slots=True)
class _Pool:
    """The rows that are trained on and measured, in the order of their ids."""

    ids: list[str]
    rows: list[RenderedExample]

    def trained(self, settings: ProxySettings) -> list[RenderedExample]:
        """`train_share` of the rows, drawn by a hash of the id: more rows leave most draws."""
        count = self.schedule(settings).rows
        draws = [hashlib.sha256(f"{settings.seed}/{each}".encode()).digest() for each in self.ids]
        drawn = sorted(range(len(self.ids)), key=lambda at: draws[at])[:count]
        return [self.rows[at] for at in sorted(drawn)]

    def schedule(self, settings: ProxySettings) -> Schedule:
        return Schedule(
            rows=math.ceil(round(settings.train_share * len(self.ids), 6)),
            epochs=settings.epochs,
            batch_rows=settings.batch_rows,
            learning_rate=settings.learning_rate,
            warmup_share=settings.warmup_share,
            seed=settings.seed,
        )


def _say_nothing(step: int, steps: int) -> None:
    pass


def _model_window(proxy: Path) -> int:
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(proxy, local_files_only=True).get_text_config()
    return int(config.max_position_embeddings)


def _problem(row: RenderedExample, window: int) -> tuple[State, str] | None:
    """Why a row has no trajectory; None if it can have one."""
    tokens = len(row.prompt) + len(row.response)
    if not row.response or not row.prompt:
        part = "prompt" if row.response else "response"
        return "not_applicable", f"the {part} has no token"
    if tokens > window:
        return "truncated", f"{tokens} tokens, {window} fit"
    return None


def _key(proxy: Path, pool: _Pool, settings: ProxySettings) -> str:
    """SHA-256 of all that decides the numbers."""
    decisive = asdict(settings)
    del decisive["keep_checkpoints"], decisive["device"]
    decisive["dtype"] = resolve_dtype(settings.dtype, settings.device)
    parts = [FORMAT, directory_fingerprint(proxy, default_cache()), decisive]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for each, row in zip(pool.ids, pool.rows, strict=True):
        digest.update(json.dumps([each, row.prompt, row.response]).encode())
    return digest.hexdigest()


def _recorded_steps(total: int, checkpoints: int) -> list[int]:
    """Steps after which losses are recorded: evenly spread, the last step among them."""
    return sorted({-(-total * part // checkpoints) for part in range(1, checkpoints + 1)} - {0})


def _train_and_record(
    proxy: Path,
    pool: _Pool,
    settings: ProxySettings,
    files: TrajectoryFiles,
    on_checkpoint: Callable[[int, int], None],
) -> None:
    """Train from the newest saved state on, and record what is not recorded yet."""
    device = resolve_device(settings.device)
    model = HuggingFaceLanguageModel.from_directory(proxy, "float32", device)
    precision = _precision(device, resolve_dtype(settings.dtype, device))
    schedule = pool.schedule(settings)
    trainer = ProxyTrainer(model.model, pool.trained(settings), schedule, precision)
    files.resume(trainer)
    for step in files.steps:
        if step <= trainer.steps_taken:
            continue
        while trainer.steps_taken < step:
            trainer.step()
        with precision:
            files.write_losses(step, _mean_losses(model, pool.rows))
        if settings.keep_checkpoints:
            files.keep_model(step, model)
        if step < schedule.steps:
            files.save_state(trainer)
        on_checkpoint(step, schedule.steps)


def _precision(device: str, dtype: str) -> AbstractContextManager[Any]:
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def _mean_losses(model: HuggingFaceLanguageModel, rows: Sequence[RenderedExample]) -> Floats:
    """(m,) nats per response token, by the engine that measures losses everywhere else."""
    means = np.empty(len(rows))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        found = model.token_losses([row.prompt for row in part], [row.response for row in part])
        means[start : start + len(part)] = [losses.nll.mean(dtype=np.float64) for losses in found]
    return means


def _with_states(
    steps: NDArray[np.int64], losses: Floats, problems: Sequence[tuple[State, str] | None]
) -> Trajectories:
    """Give each row its state; a row with a loss that is no number loses the others too."""
    states: list[State] = []
    details: list[str | None] = []
    for row, problem in enumerate(problems):
        if problem is None and not np.isfinite(losses[row]).all():
            step = steps[~np.isfinite(losses[row])][0]
            problem = "failed", f"the loss after step {step} is not finite"
            losses[row] = np.nan
        state, detail = problem or ("ok", None)
        states.append(state)
        details.append(detail)
    return Trajectories(steps, losses, states, details)
