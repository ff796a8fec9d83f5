"""Losses: what a language model says of each response, with its prompt and without.

    nll_t       = -log p(y_t | prompt, y_<t)          t in the response, nats
    nll_alone_t = -log p(y_t | header, y_<t)          the same tokens, the same positions
    entropy_t   = -sum_v p(v | prompt, y_<t) log p(v | prompt, y_<t)

One measurement that serves perplexity, IFD (arXiv:2308.12032), Superfiltering (arXiv:2402.00530),
GRAPE (arXiv:2502.04194), Q-Tuning's plane (arXiv:2509.23873) and, by its vectors, DEITA's filter
(arXiv:2312.15685) and RDS+ (arXiv:2503.01807). The vector of RDS+ is the position-weighted mean of
the last hidden states h_1 ... h_L of prompt and response,

    e = sum_i w_i h_i,   w_i = i / (1 + 2 + ... + L)

put to length 1; it is summed up in float32 while the row is read. Both passes cover exactly the
same response tokens, so that their ratio compares like with like.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scorers.measures.protocols import GenerationFailure, LossModel, TokenLosses
from scorers.measures.reading.chat_format import RenderedExample

State = Literal["ok", "truncated", "failed", "not_applicable"]


@dataclass(frozen=True, slots=True)
class LossRow:
    """The losses of one example; all null unless the state is "ok".

    `alone`: behind the assistant's header only. Entropies are null where the back end tells none.
    """

    state: State
    detail: str | None = None  # why there are no values
    response_tokens: int | None = None
    mean_nll: float | None = None  # nats per response token, with the prompt
    mean_nll_alone: float | None = None
    sum_nll: float | None = None
    sum_nll_alone: float | None = None
    mean_entropy: float | None = None  # nats per response token, with the prompt
    mean_entropy_alone: float | None = None
    top1_rate: float | None = None
    """Share of response tokens that were the likeliest, with the prompt; in [0, 1]."""
    top1_rate_alone: float | None = None
    nll: NDArray[np.float32] | None = None  # (t,) nats, for the response's t tokens
    nll_alone: NDArray[np.float32] | None = None
    entropy: NDArray[np.float32] | None = None
    entropy_alone: NDArray[np.float32] | None = None
    top1: NDArray[np.bool_] | None = None
    top1_alone: NDArray[np.bool_] | None = None
    vector: NDArray[np.float32] | None = None
    """(h,) last hidden state of one response token, with the prompt, of length 1; null if none
    was asked for."""
    weighted_vector: NDArray[np.float32] | None = None
    """(h,) see TokenLosses; null if it was not asked for."""
    el2n: NDArray[np.float32] | None = None
    """(t,) with the prompt, see TokenLosses; null if it was not asked for."""
    mean_el2n: float | None = None
    turn_tokens: list[int] | None = None
    """(k,) response tokens of each trained turn; the arrays above hold one turn after the other."""
    turn_nll: list[float] | None = None  # (k,) nats, summed over the tokens of a turn
    turn_nll_alone: list[float] | None = None
    turn_entropy: list[float] | None = None
    turn_stop_nll: list[float | None] | None = None
    """(k,) nats, of the token that ends a turn; null of a turn that ends without one."""


def measure_losses(
    model: LossModel,
    rows: Sequence[RenderedExample],
    max_tokens: int,
    vectors_at: Sequence[int] = (),
    *,
    el2n: bool = False,
    weighted: Sequence[bool] = (),
) -> list[LossRow]:
    """Measure the losses of each row's response.

    Args:
        model: asked once, for all rows and both passes together.
        rows: n examples, not truncated.
        max_tokens: longest prompt and response, together, that is measured. A longer one would
            have to be cut, and its loss would be that of another text.
        vectors_at: of each row the response token whose last hidden state is wanted; () for none.
        el2n: whether it is wanted.
        weighted: of each row whether its position-weighted vector is wanted; () for none.

    Returns:
        n rows, aligned with the input: "truncated" over max_tokens, "not_applicable" without
        response tokens, "failed" where a loss is not finite or could not be had.
    """
    results = [_without_asking(row, max_tokens) for row in rows]
    asked = [i for i, result in enumerate(results) if result is None]
    # One call for both passes: what texts begin with in common is then read once.
    prefixes = [rows[i].prompt for i in asked] + [rows[i].header for i in asked]
    wanted = [vectors_at[i] if vectors_at else None for i in asked] + [None] * len(asked)
    means = [weighted[i] if weighted else False for i in asked] + [False] * len(asked)
    losses = model.token_losses(prefixes, [rows[i].response for i in asked] * 2, wanted, means)
    for i, given, alone in zip(asked, losses[: len(asked)], losses[len(asked) :], strict=True):
        results[i] = _summarise(given, alone, el2n=el2n)
    return [result for result in results if result is not None]  # all of them, for mypy


def join_losses(turns: Sequence[LossRow], stops: Sequence[int | None]) -> LossRow:
    """The losses of a conversation from those of its trained turns.

    Means are over all response tokens, whichever turn they are in; the vector is the last turn's.

    Args:
        turns: k rows, at least one, in their order.
        stops: (k,) index of the token that ends each turn among its response tokens, if any.

    Returns:
        The state and detail of the first turn that is not "ok", or else the losses of all.
    """
    for number, turn in enumerate(turns, start=1):
        if turn.state != "ok":
            where = f"trained turn {number}: " if len(turns) > 1 else ""
            return LossRow(turn.state, f"{where}{turn.detail}")
    joined = turns[0] if len(turns) == 1 else _concatenate(turns)
    return replace(
        joined,
        turn_tokens=[int(turn.response_tokens or 0) for turn in turns],
        turn_nll=[_sum(turn.nll) or 0.0 for turn in turns],
        turn_nll_alone=[_sum(turn.nll_alone) or 0.0 for turn in turns],
        turn_entropy=_sums([turn.entropy for turn in turns]),
        turn_stop_nll=[
            None if at is None or turn.nll is None else float(turn.nll[at])
            for turn, at in zip(turns, stops, strict=True)
        ],
    )


def _concatenate(turns: Sequence[LossRow]) -> LossRow:
    """Several turns as one response."""

    def all_of(name: str) -> NDArray[np.float32] | None:
        parts = [getattr(turn, name) for turn in turns]
        return None if any(part is None for part in parts) else np.concatenate(parts)

    nll, alone, entropy, entropy_alone, top1, top1_alone, el2n = map(all_of, PER_TOKEN)
    assert nll is not None and alone is not None
    assert top1 is not None and top1_alone is not None
    return LossRow(
        "ok",
        response_tokens=len(nll),
        mean_nll=_mean(nll),
        mean_nll_alone=_mean(alone),
        sum_nll=_sum(nll),
        sum_nll_alone=_sum(alone),
        mean_entropy=_mean(entropy),
        mean_entropy_alone=_mean(entropy_alone),
        top1_rate=float(top1.mean()),
        top1_rate_alone=float(top1_alone.mean()),
        nll=nll,
        nll_alone=alone,
        entropy=entropy,
        entropy_alone=entropy_alone,
        top1=top1.astype(np.bool_),
        top1_alone=top1_alone.astype(np.bool_),
        vector=turns[-1].vector,
        weighted_vector=turns[-1].weighted_vector,
        el2n=el2n,
        mean_el2n=_mean(el2n),
    )


def _without_asking(row: RenderedExample, max_tokens: int) -> LossRow | None:
    """The result of a row that the model need not see."""
    if not row.response:
        return LossRow("not_applicable", "the template writes no tokens for the response")
    length = len(row.prompt) + len(row.response)
    if length > max_tokens:
        return LossRow("truncated", f"{length} tokens, at most {max_tokens} are measured")
    return None


def _summarise(
    given: TokenLosses | GenerationFailure, alone: TokenLosses | GenerationFailure, *, el2n: bool
) -> LossRow:
    if isinstance(given, GenerationFailure):
        return LossRow("failed", f"{given.reason}: {given.detail}")
    if isinstance(alone, GenerationFailure):
        return LossRow("failed", f"{alone.reason}: {alone.detail}")
    row = LossRow(
        "ok",
        response_tokens=len(given.nll),
        mean_nll=_mean(given.nll),
        mean_nll_alone=_mean(alone.nll),
        sum_nll=_sum(given.nll),
        sum_nll_alone=_sum(alone.nll),
        mean_entropy=_mean(given.entropy),
        mean_entropy_alone=_mean(alone.entropy),
        top1_rate=float(given.top1.mean()),
        top1_rate_alone=float(alone.top1.mean()),
        nll=given.nll,
        nll_alone=alone.nll,
        entropy=given.entropy,
        entropy_alone=alone.entropy,
        top1=given.top1,
        top1_alone=alone.top1,
        vector=given.vector,
        weighted_vector=given.weighted_vector,
        el2n=given.el2n if el2n else None,
        mean_el2n=_mean(given.el2n) if el2n else None,
    )
    unsound = [name for name in FLOAT_ARRAYS if not _finite(getattr(row, name))]
    if unsound:
        return LossRow("failed", f"the model gave values that are not finite: {unsound}")
    return row


PER_TOKEN = ("nll", "nll_alone", "entropy", "entropy_alone", "top1", "top1_alone", "el2n")
FLOAT_ARRAYS = (
    "nll",
    "nll_alone",
    "entropy",
    "entropy_alone",
    "vector",
    "weighted_vector",
    "el2n",
)


def _mean(values: NDArray[np.float32] | None) -> float | None:
    # Summed in float64: in float32 the rounding would grow with the response.
    return None if values is None else float(values.mean(dtype=np.float64))


def _sum(values: NDArray[np.float32] | None) -> float | None:
    return None if values is None else float(values.sum(dtype=np.float64))


def _sums(parts: Sequence[NDArray[np.float32] | None]) -> list[float] | None:
    sums = [_sum(part) for part in parts]
    return None if None in sums else [each for each in sums if each is not None]  # for mypy


def _finite(values: NDArray[np.float32] | None) -> bool:
    return values is None or bool(np.isfinite(values).all())
