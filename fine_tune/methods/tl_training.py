"""TL-Training: tool calls that went wrong are not trained, and what tells tools apart counts more.

    w_t = min(N_O / N_K, w_max)  of a key token, where N_K < N_O        w_t = 1  of any other
    loss = sum_t w_t (-log p(token_t)) / sum_t w_t

A call is adverse where the tool's message behind it holds one of ERRORS, compared in lower case and
by letters and digits alone; it stays in the conversation as context, and gets no loss. Key tokens
of a call are its first, and of each other tool that was offered the token in which the called name
stops agreeing with that tool's; N_K counts them, N_O the other tokens of the turn.

For tool calling on recorded trajectories, 17 % of which hold an error by the authors' count. A call
is judged by the message behind it, so an export must have a later trained turn of the conversation:
`turns: last` shows none. Not where errors are what the model shall learn to mend: it then no
longer sees itself make them, and it is the turn behind the error that is kept. Nothing is lost of
rows without tools: all their tokens count 1. Costs nothing but a look over the rows.

Ye et al. 2024, "TL-Training", arXiv:2412.15495. Its rewards (PPO) are not here. Where the name of a
tool cannot be found in the tokens (a template that writes calls otherwise), the turn has no key
token but its first.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fine_tune.method import Change, Divisor, TokenWeights, TrainedTurn, TrainingMethod
from storage.exports_manifest import example_of

ERRORS = (
    "is not defined",
    "positional argument",
    "unexpected keyword argument",
    "ConnectionError",
    '"error":',
    "not supported",
    "invalid API key",
    "invalid API call",
    "response error",
    "not JSON serializable",
    "400 client error",
)
"""What a tool says that was called wrongly."""


class TLTraining(TrainingMethod):
    """Leave adverse tool calls untrained, and weigh the tokens that tell tools apart."""

    changes: ClassVar[Change] = "weights of tokens"
    divides_by: ClassVar[Divisor] = "weights"

    method: Literal["tl_training"]
    errors: tuple[str, ...] = Field(
        default=ERRORS, description="What the message of a tool holds whose call was wrong."
    )
    most_weight: float = Field(
        default=9.0, ge=1, description="Most that a key token counts; 1: all tokens count alike."
    )

    def token_weights(self, conversations: Iterable[Mapping[str, Any]]) -> TokenWeights:
        """See TrainingMethod."""
        adverse = adverse_calls(conversations, self.errors)

        def weigh(turn: TrainedTurn) -> NDArray[np.float32]:
            if (turn.example_id, turn.message) in adverse:
                return np.zeros(len(turn.tokens), dtype=np.float32)
            return weigh_keys(len(turn.tokens), key_tokens(turn), self.most_weight)

        return weigh


def adverse_calls(
    conversations: Iterable[Mapping[str, Any]], errors: Sequence[str]
) -> set[tuple[str, int]]:
    """Example and index of each message whose calls are followed by a tool's error."""
    patterns = [bare for each in errors if (bare := bare_text(each))]
    found = set()
    for row in conversations:
        call = 0
        for at, message in enumerate(row["prompt"]):
            if message["role"] == "assistant":
                call = at
            elif message["role"] == "tool":  # several may follow one message, one for each call
                said = bare_text(str(message.get("content") or ""))
                if any(pattern in said for pattern in patterns):
                    found.add((example_of(row["example_id"]), call))
    return found


def bare_text(text: str) -> str:
    """Letters and digits of a text, in lower case."""
    return re.sub(r"[\W_]", "", text.lower())


def weigh_keys(tokens: int, keys: Sequence[int], most: float) -> NDArray[np.float32]:
    """(tokens,) weights with which key tokens count as much as all others, within bounds."""
    weights = np.ones(tokens, dtype=np.float32)
    others = tokens - len(keys)
    if 0 < len(keys) < others:
        weights[list(keys)] = min(others / len(keys), most)
    return weights


def key_tokens(turn: TrainedTurn) -> list[int]:
    """Places of the tokens in which a call begins, and in which its tool differs from others."""
    called = [str(call["function"]["name"]) for call in turn.answer.get("tool_calls") or ()]
    if not called:
        return []
    offered = [str(tool.get("function", tool).get("name")) for tool in turn.tools]
    text, keys, behind = turn.decode(turn.tokens), {0}, 0
    for name in called:
        start = text.find(name, behind)
        if start < 0:
            continue
        behind = start + len(name)
        for other in offered:
            shared = shared_beginning(name, other)
            if shared < len(name):  # else the name has no token that differs
                keys.add(token_at(turn.tokens, start + shared, turn.decode))
    return sorted(keys)


def shared_beginning(one: str, other: str) -> int:
    """Characters in which two names begin alike."""
    pairs = zip(one, other, strict=False)
    shortest = min(len(one), len(other))
    return next((at for at, (a, b) in enumerate(pairs) if a != b), shortest)


def token_at(
    tokens: NDArray[np.int64], character: int, decode: Callable[[Iterable[int]], str]
) -> int:
    """Place of the token that holds a character of the decoded text."""
    low, high = 0, len(tokens) - 1
    while low < high:  # the shortest beginning that reaches beyond the character ends on it
        middle = (low + high) // 2
        if len(decode(tokens[: middle + 1])) > character:
            high = middle
        else:
            low = middle + 1
    return low
