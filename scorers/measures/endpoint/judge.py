"""Multiple-choice answers from an OpenAI-compatible server that reports `logprobs`.

A server lists only the likeliest first tokens (20 at most) and not the probability of a token we
name, so what is read here is a lower bound; with two or three letters as options it is close.
A server does not give the losses of a given text in a common form, so this is an OptionModel and
not a LanguageModel. A server that thinks aloud before it answers must have that turned off
(`extra_body`), or its first token is never an option.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.generator import (
    COMPLETIONS,
    endpoint_fingerprint,
    wire_message,
)
from scorers.measures.endpoint.logprobs import MOST_LOGPROBS, listed_tokens, top_logprobs
from scorers.measures.endpoint.reply import JsonReply, Reply
from scorers.measures.endpoint.request_cache import post_once
from scorers.measures.protocols import GenerationFailure, Message, OneOf, OptionProbabilities


@dataclass(frozen=True, slots=True)
class EndpointJudge:
    """An OptionModel over HTTP, from the likeliest first tokens that the server lists."""

    settings: EndpointSettings

    def option_probabilities(
        self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
    ) -> OptionProbabilities:
        """Probability that the answer begins with each option, as far as the server shows it.

        An option that is not among the 20 likeliest first tokens counts as 0; its probability was
        below all of theirs. Where none is, or no reply was had, the row is NaN and its mass 0, and
        `failures` says why: "no_option", "no_logprobs", or a reason of EndpointGenerator.

        Raises:
            ValueError: if there are no options, or one is the beginning of another.
        """
        check_options(options)
        bodies = [_option_body(self.settings, prompt) for prompt in prompts]

        def read(_: int, reply: Reply) -> tuple[list[float], GenerationFailure | None]:
            found = read_options(reply, options)
            return found, None if any(found) else _failure(reply)

        replies = post_once(self.settings, COMPLETIONS, bodies, read, lists_tokens)
        found = np.array([listed for listed, _ in replies], dtype=np.float64)
        found = found.reshape(len(prompts), len(options))  # without prompts the array is (0,)
        mass = found.sum(axis=1)
        probabilities = np.full_like(found, np.nan)
        np.divide(found, mass[:, None], out=probabilities, where=mass[:, None] > 0)
        failures = {at: failure for at, (_, failure) in enumerate(replies) if failure is not None}
        return OptionProbabilities(probabilities, np.minimum(mass, 1.0), failures)

    def fingerprint(self) -> str:
        """`endpoint_fingerprint` of the served model."""
        return endpoint_fingerprint(self.settings)


def read_options(reply: Reply, options: Sequence[str]) -> list[float]:
    """Probability of each option among the listed first tokens, without blanks; zeros of none."""
    # Rounding puts some above 0.
    listed = ((token, math.exp(min(logprob, 0.0))) for token, logprob in listed_tokens(reply))
    return list(OneOf(tuple(options)).probabilities(listed).values())


def lists_tokens(reply: JsonReply) -> bool:
    """Whether a reply says how likely any first token was."""
    return bool(listed_tokens(reply))


def check_options(options: Sequence[str]) -> None:
    """Refuse options that a first token cannot tell apart.

    Raises:
        ValueError: if there are none, or one is the beginning of another.
    """
    if not options or any(b.startswith(a) for a, b in permutations(options, 2)):
        raise ValueError(f"expected options with different beginnings, got {list(options)}")


def _failure(reply: Reply) -> GenerationFailure:
    """Why a reply gave no option any probability."""
    if isinstance(reply, GenerationFailure):
        return reply
    if not lists_tokens(reply):
        what = (
            "numbers that are no probabilities" if top_logprobs(reply) else "no likely first tokens"
        )
        return GenerationFailure("no_logprobs", f"the server listed {what}")
    return GenerationFailure("no_option", "no option is among the tokens that the server listed")


def _option_body(settings: EndpointSettings, prompt: Sequence[Message]) -> JsonReply:
    return {
        **settings.extra_body,
        "model": settings.model,
        "messages": [wire_message(message) for message in prompt],
        # Some servers report probabilities after the temperature; 1 leaves them as they are.
        "temperature": 1.0,
        "top_p": 1.0,
        settings.length_field: 1,
        "logprobs": True,
        "top_logprobs": MOST_LOGPROBS,
    }
