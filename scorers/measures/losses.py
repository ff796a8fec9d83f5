"""Losses: what a language model says of each response, with its prompt and without.

    nll_t       = -log p(y_t | prompt, y_<t)          t in the response, nats
    nll_alone_t = -log p(y_t | header, y_<t)          the same tokens, the same places
    entropy_t   = -sum_v p(v | prompt, y_<t) log p(v | prompt, y_<t)

One measurement that serves perplexity, IFD (arXiv:2308.12032), Superfiltering (arXiv:2402.00530),
GRAPE (arXiv:2502.04194) and Q-Tuning's uncertainty. Both passes cover exactly the same response
tokens, so that their ratio compares like with like.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scorers.measures.chat_format import RenderedExample
from scorers.measures.protocols import LanguageModel, TokenLosses

State = Literal["ok", "truncated", "failed", "not_applicable"]


@dataclass(frozen=True, slots=True)
class LossRow:
    """The losses of one example; all null unless the state is "ok"."""

    state: State
    detail: str | None = None
    """Why there are no values."""
    response_tokens: int | None = None
    mean_nll: float | None = None
    """Nats per response token, with the prompt."""
    mean_nll_alone: float | None = None
    """Nats per response token, behind the assistant's header only."""
    sum_nll: float | None = None
    sum_nll_alone: float | None = None
    mean_entropy: float | None = None
    """Nats per response token, with the prompt."""
    top1_rate: float | None = None
    """Share of response tokens that were the likeliest, with the prompt; in [0, 1]."""
    nll: NDArray[np.float32] | None = None
    """(t,) nats, for the response's t tokens."""
    nll_alone: NDArray[np.float32] | None = None
    entropy: NDArray[np.float32] | None = None


def measure_losses(
    model: LanguageModel, rows: Sequence[RenderedExample], max_tokens: int
) -> list[LossRow]:
    """Measure the losses of each row's response.

    Args:
        model: asked once, for all rows and both passes together.
        rows: n examples, not truncated.
        max_tokens: longest prompt and response, together, that is measured. A longer one would
            have to be cut, and its loss would be that of another text.

    Returns:
        n rows, aligned with the input: "truncated" over max_tokens, "not_applicable" without
        response tokens, "failed" where a loss is not finite.
    """
    results = [_without_asking(row, max_tokens) for row in rows]
    asked = [i for i, result in enumerate(results) if result is None]
    prefixes = [rows[i].prompt for i in asked] + [rows[i].header for i in asked]
    losses = model.token_losses(prefixes, [rows[i].response for i in asked] * 2)
    for i, given, alone in zip(asked, losses[: len(asked)], losses[len(asked) :], strict=True):
        results[i] = _summarise(given, alone)
    return [result for result in results if result is not None]


def _without_asking(row: RenderedExample, max_tokens: int) -> LossRow | None:
    """The result of a row that the model need not see."""
    if not row.response:
        return LossRow("not_applicable", "the template writes no tokens for the response")
    length = len(row.prompt) + len(row.response)
    if length > max_tokens:
        return LossRow("truncated", f"{length} tokens, at most {max_tokens} are measured")
    return None


def _summarise(given: TokenLosses, alone: TokenLosses) -> LossRow:
    arrays = {"nll": given.nll, "nll_alone": alone.nll, "entropy": given.entropy}
    unsound = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if unsound:
        return LossRow("failed", f"the model gave values that are not finite: {unsound}")
    tokens = len(given.nll)
    sum_nll = float(given.nll.sum(dtype=np.float64))
    sum_nll_alone = float(alone.nll.sum(dtype=np.float64))
    return LossRow(
        "ok",
        response_tokens=tokens,
        mean_nll=sum_nll / tokens,
        mean_nll_alone=sum_nll_alone / tokens,
        sum_nll=sum_nll,
        sum_nll_alone=sum_nll_alone,
        mean_entropy=float(given.entropy.mean(dtype=np.float64)),
        top1_rate=float(given.top1.mean()),
        nll=given.nll,
        nll_alone=alone.nll,
        entropy=given.entropy,
    )
