"""Context dependency: how much of a response's attention goes to what the user wrote.

    score_m = (1 / |R_m|) * sum over q in R_m of max over h of sum over k in U, k <= q of A_h[q, k]

A_h is the attention of head h in one middle layer of a probe, a chat model; R_m the tokens of
assistant turn m, U those of the users' text, role headers, special tokens and line breaks left out.
Each number is in [0, 1]: 1 where some head sees nothing but the user's text, 0 where none sees it.
Beside it stands the maximum of the means, the other reading of the paper: never above.

For finding the rows that teach a model to use what it is given, so that tuning does not wear that
skill down. Not a mark of quality: the probe's attention says where it looked, not whether the
answer is right. A turn has more to look at the later it stands, so each is also measured over its
own user turn alone; long answers look at themselves.

Cost: one pass over each row by the layers up to the probed one, and heads x length^2 numbers of
memory for that one.

Wang et al. 2024, "On the Loss of Context-awareness in General Instruction Fine-tuning",
arXiv:2411.02688. Where this departs from the released code: roles are found by the template instead
of by Llama's token ids, no empty system turn is put in, tool results are not the user's text, a
longer row is marked and not cut, and what cannot be told is null instead of -1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scorers.arrays import Floats
from scorers.measures.protocols import AttentionModel
from scorers.measures.reading.turn_tokens import TurnSpan, TurnTokens

VERSION = 1

PROBED_LAYER = 15 / 22  # the layer probed, from 0 and as a share of all: the authors' 15 of 22


def default_layer(layers: int) -> int:
    """The layer to probe in a model of so many, counted from 0."""
    return min(round(PROBED_LAYER * layers), layers - 1)


@dataclass(frozen=True, slots=True)
class TurnDependency:
    """What one assistant turn pays to the users' text before it; shares of attention."""

    message: int  # index of the message
    tokens: int
    all_turns: float  # to all user turns, the maximum over heads taken for each token
    current_turn: float  # the same, to the last user turn before it alone
    all_turns_of_means: float  # the maximum over heads of the means over tokens; at most all_turns
    current_turn_of_means: float


@dataclass(frozen=True, slots=True)
class ContextRow:
    """The numbers of one example; null unless the state is "ok"."""

    state: Literal["ok", "truncated", "failed", "not_applicable"]
    detail: str | None = None  # why there are no values
    turns: Sequence[TurnDependency] = ()
    """Each assistant turn with a text and a user's text before it; the trained one is the last."""


def measure_context(
    model: AttentionModel, row: TurnTokens, response_at: int, layer: int, max_tokens: int
) -> ContextRow:
    """Measure one conversation that ends with the trained response.

    Args:
        model: the probe.
        row: by find_turns, with the probe's tokenizer.
        response_at: index of the trained response.
        layer: the layer probed, counted from 0.
        max_tokens: longest conversation that is read; the model's own window holds as well.

    Returns:
        "truncated" over the limit, "not_applicable" where the response has no text or no user's
        text stands before it, "failed" where the attention is no number.
    """
    longest = min(max_tokens, model.max_tokens)
    if len(row.ids) > longest:
        return ContextRow("truncated", f"{len(row.ids)} tokens, at most {longest} are measured")
    users = [turn for turn in row.turns if turn.role == "user" and len(turn.positions)]
    # An answer that no user's text stands before has nothing to attend to.
    first = min((turn.message for turn in users), default=response_at)
    answers = [
        turn
        for turn in row.turns
        if turn.role == "assistant" and len(turn.positions) and turn.message > first
    ]
    if not answers or answers[-1].message != response_at:
        why = "the response has no text" if users else "no user's text stands before the response"
        return ContextRow("not_applicable", why)
    positions = np.concatenate([turn.positions for turn in answers])
    # (heads, tokens of all answers, users), in one pass for all turns.
    shares = model.attention_shares(row.ids, positions, [turn.positions for turn in users], layer)
    if not np.isfinite(shares).all():
        return ContextRow("failed", "the model gave attention that is not finite")
    borders = np.cumsum([len(turn.positions) for turn in answers])[:-1]  # the last is the end
    parts = np.split(shares, borders, axis=1)
    turns = [_summarise(a, part, users) for a, part in zip(answers, parts, strict=True)]
    return ContextRow("ok", turns=turns)


def _summarise(answer: TurnSpan, shares: Floats, users: Sequence[TurnSpan]) -> TurnDependency:
    """One turn's numbers, from its tokens' (heads, t, users) shares."""
    before = np.array([user.message < answer.message for user in users])
    every = shares[:, :, before].sum(axis=2)  # (heads, t)
    last = shares[:, :, np.flatnonzero(before)[-1]]
    return TurnDependency(
        message=answer.message,
        tokens=len(answer.positions),
        all_turns=_mean_of_maxima(every),
        current_turn=_mean_of_maxima(last),
        all_turns_of_means=_maximum_of_means(every),
        current_turn_of_means=_maximum_of_means(last),
    )


def _mean_of_maxima(shares: Floats) -> float:
    return min(1.0, float(shares.max(axis=0).mean()))  # a sum of rounded shares may be above 1


def _maximum_of_means(shares: Floats) -> float:
    return min(1.0, float(shares.mean(axis=1).max()))
