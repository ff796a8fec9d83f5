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
    first_choice,
    wire_message,
)
from scorers.measures.endpoint.reply import JsonReply, Reply, read_logprob
from scorers.measures.endpoint.request_cache import post_once
from scorers.measures.protocols import GenerationFailure, Message, OptionProbabilities

MOST_LOGPROBS = 20
"""The most likely first tokens a server will list; the limit of the API and of vLLM."""

MOST_MASS = 1.05
"""More than rounding in 16 bits could make of probabilities that are 1 together."""


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

        def read(reply: Reply) -> tuple[list[float], GenerationFailure | None]:
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
    """Probability of each option among the listed first tokens; zeros where there are none.

    A token counts for an option when, without blanks, it is the option or the beginning of it and
    of no other.
    """
    found = [0.0] * len(options)
    for token, logprob in _listed_tokens(reply):
        begun = [at for at, option in enumerate(options) if option.startswith(token)]
        if token and len(begun) == 1:
            found[begun[0]] += math.exp(min(logprob, 0.0))  # rounding puts some above 0
    return found


def lists_tokens(reply: JsonReply) -> bool:
    """Whether a reply says how likely any first token was."""
    return bool(_listed_tokens(reply))


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
            "numbers that are no probabilities"
            if _top_logprobs(reply)
            else "no likely first tokens"
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


def _listed_tokens(reply: Reply) -> list[tuple[str, float]]:
    """(token without blanks, log probability) at the answer's first place.

    [] without them, and where the numbers cannot be the probabilities of one place.
    """
    listed = _top_logprobs(reply)
    read = [
        (entry["token"], read_logprob(entry["logprob"]))
        for entry in listed
        if isinstance(entry, dict)
        and isinstance(entry.get("token"), str)
        and entry.get("logprob") is not None  # null: it had none to tell
    ]
    found = [(token, logprob) for token, logprob in read if logprob is not None]
    if len(found) < len(read):
        return []
    if not _mass(found) <= MOST_MASS:  # some servers list a token twice
        found = list(dict.fromkeys(found))
    likely = _mass(found) <= MOST_MASS  # never of NaN
    return [(token.strip(), logprob) for token, logprob in found] if likely else []


def _top_logprobs(reply: Reply) -> list[object]:
    choice = None if isinstance(reply, GenerationFailure) else first_choice(reply)
    logprobs = choice.get("logprobs") if choice is not None else None
    indices = logprobs.get("content") if isinstance(logprobs, dict) else None
    first = indices[0] if isinstance(indices, list) and indices else None
    listed = first.get("top_logprobs") if isinstance(first, dict) else None
    return listed if isinstance(listed, list) else []


def _mass(listed: Sequence[tuple[str, float]]) -> float:
    return math.fsum(math.exp(logprob) for _, logprob in listed)
