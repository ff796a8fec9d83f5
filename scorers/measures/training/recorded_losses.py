"""What a proxy says of rows at one state of its weights, and what becomes of rows it cannot read.

The same for the rows a proxy is trained on and for those that come later, so that their numbers
can stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from scorers.arrays import Floats
from scorers.measures.losses import State
from scorers.measures.models.devices import resolve_autocast
from scorers.measures.models.model_folder import loading_from
from scorers.measures.training.proxy_schedule import ProxySettings

if TYPE_CHECKING:
    from scorers.measures.models.language_model import HuggingFaceLanguageModel
    from scorers.measures.reading.chat_format import RenderedExample


ROWS_AT_ONCE = 4096  # rows handed to the engine together; it sorts them by length


@dataclass(frozen=True, slots=True)
class Trajectories:
    """Losses of n rows at T recorded steps, aligned with the rows given."""

    steps: NDArray[np.int64]  # (T,) optimizer steps taken, strictly increasing
    losses: Floats  # (n, T) nats per response token; NaN in a row whose state is not "ok"
    trained: NDArray[np.bool_]
    """(n,) whether the proxy learnt from the row, and did not only read it."""
    states: list[State]  # (n,)
    details: list[str | None]  # (n,) why the state is not "ok"


@dataclass(frozen=True, slots=True)
class UnreadRow:
    """Why a row has no trajectory."""

    state: State
    detail: str


def find_unread_rows(
    model: Path, rows: Sequence[RenderedExample], settings: ProxySettings
) -> list[UnreadRow | None]:
    """(n,) why each row cannot be read; None where it can.

    Args:
        model: folder of the proxy.
        rows: n rows as token ids.
        settings: `max_tokens` is looked at, and the model's own window.
    """
    from transformers import AutoConfig

    with loading_from(model):
        whole = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    config: Any = whole.get_text_config()
    window = min(settings.max_tokens, int(config.max_position_embeddings))
    return [_find_problem(row, window) for row in rows]


def _find_problem(row: RenderedExample, window: int) -> UnreadRow | None:
    tokens = len(row.prompt) + len(row.response)
    if not row.loss_tokens or not row.prompt:
        part = "prompt" if row.loss_tokens else "response"
        return UnreadRow("not_applicable", f"the {part} has no token")
    if tokens > window:
        return UnreadRow("truncated", f"{tokens} tokens, {window} fit")
    return None


def forward_precision(device: str, settings: ProxySettings) -> AbstractContextManager[Any]:
    """What forward passes of float32 weights run in: entered again for each."""
    if resolve_autocast(settings.dtype, device) == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def mean_losses(model: HuggingFaceLanguageModel, rows: Sequence[RenderedExample]) -> Floats:
    """(m,) nats per response token, by the engine that measures losses everywhere else."""
    means = np.empty(len(rows))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        found = model.token_losses([row.prompt for row in part], [row.response for row in part])
        means[start : start + len(part)] = [
            losses.nll[row.trained].mean(dtype=np.float64)
            for losses, row in zip(found, part, strict=True)
        ]
    return means


def with_states(
    steps: Sequence[int],
    losses: Floats,
    trained: NDArray[np.bool_],
    problems: Sequence[UnreadRow | None],
) -> Trajectories:
    """Give each row its state; a row with a loss that is no number loses the others too.

    Args:
        steps: (T,)
        losses: (n, T) nats per response token; NaN in rows with a problem. Changed in place.
        trained: (n,)
        problems: (n,) from `find_problems`.
    """
    states: list[State] = []
    details: list[str | None] = []
    for row, problem in enumerate(problems):
        if problem is None and not np.isfinite(losses[row]).all():
            step = np.array(steps)[~np.isfinite(losses[row])][0]  # the first
            problem = UnreadRow("failed", f"the loss after step {step} is not finite")
            losses[row] = np.nan
        states.append(problem.state if problem else "ok")
        details.append(problem.detail if problem else None)
    return Trajectories(np.array(steps, dtype=np.int64), losses, trained, states, details)
