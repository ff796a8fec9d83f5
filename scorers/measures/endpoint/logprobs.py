"""Read how likely a server says that tokens of an answer were."""

import math
from collections.abc import Sequence

from scorers.measures.endpoint.reply import JsonReply, Reply, first_choice, read_logprob
from scorers.measures.protocols import GenerationFailure

MOST_LOGPROBS = 20
"""The most likely tokens of a place that a server will list; the limit of the API and of vLLM."""

MOST_MASS = 1.05
"""More than rounding in 16 bits could make of probabilities that are 1 together."""


def listed_tokens(reply: Reply, at: int = 0) -> list[tuple[str, float]]:
    """(token without blanks, log probability) at one place of the answer, from 0.

    [] without them, and where the numbers cannot be the probabilities of one place.
    """
    listed = top_logprobs(reply, at)
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


def top_logprobs(reply: Reply, at: int = 0) -> list[object]:
    """What a server listed at one place of the answer, from 0."""
    places = answer_places(reply)
    listed = places[at].get("top_logprobs") if at < len(places) else None
    return listed if isinstance(listed, list) else []


def answer_places(reply: Reply) -> list[JsonReply]:
    """What a server says of each token of the answer; [] where it says nothing."""
    choice = None if isinstance(reply, GenerationFailure) else first_choice(reply)
    logprobs = choice.get("logprobs") if choice is not None else None
    places = logprobs.get("content") if isinstance(logprobs, dict) else None
    found = places if isinstance(places, list) else []
    return found if all(isinstance(place, dict) for place in found) else []


def _mass(listed: Sequence[tuple[str, float]]) -> float:
    return math.fsum(math.exp(logprob) for _, logprob in listed)
