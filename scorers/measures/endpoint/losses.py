"""Losses of given token ids from a vLLM server.

    POST /v1/completions {"prompt": [prefix + response], "prompt_logprobs": 1, "max_tokens": 1, …}

`prompt_logprobs` is vLLM's own: for each place of the prompt it gives the log probability and the
rank of the token that stands there, and the likeliest token beside it. So nll and top1 are had; the
entropy is not, for that takes the whole distribution.

The prompt goes out as token ids, which the server neither tokenises nor puts anything in front of;
each place of the reply must name the id that was sent, or the row has failed. One more token than
the text has must fit into the server's window, for it always generates one.

Replies are not kept (request_cache.py keeps those of questions): each is many times its numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scorers.measures.endpoint.client import EndpointSettings, post_all
from scorers.measures.endpoint.generator import endpoint_fingerprint
from scorers.measures.endpoint.reply import JsonReply, Reply, first_choice, read_logprob
from scorers.measures.protocols import GenerationFailure, TokenLosses

COMPLETIONS = "completions"


@dataclass(frozen=True, slots=True)
class EndpointLosses:
    """Token losses over HTTP. A text that fails does so alone, as a value."""

    settings: EndpointSettings

    def token_losses(
        self,
        prefixes: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        vectors_at: Sequence[int | None] = (),
        weighted: Sequence[bool] = (),
    ) -> list[TokenLosses | GenerationFailure]:
        """See LossModel.token_losses; `entropy` is None, and no vector may be wanted.

        Reasons of failures: "timeout", "no_connection", "context_length", "http_NNN",
        "malformed_reply", "reply_too_large", "web_page".

        Raises:
            ValueError: also if a vector is wanted, or the environment variable with the key is not
                set.
        """
        if any(weighted) or any(at is not None for at in vectors_at):
            raise ValueError("a server gives no hidden states")
        if len(prefixes) != len(responses):
            raise ValueError(f"{len(prefixes)} prefixes but {len(responses)} responses")
        if any(len(prefix) == 0 for prefix in prefixes):
            raise ValueError("a prefix is empty: nothing predicts the first response token")
        asked = [i for i, response in enumerate(responses) if len(response) > 0]
        bodies = [_losses_body(self.settings, prefixes[i], responses[i]) for i in asked]
        losses: list[TokenLosses | GenerationFailure] = [_token_losses([]) for _ in responses]

        def read(index: int, reply: Reply) -> TokenLosses | GenerationFailure:
            at = asked[index]
            return read_losses(reply, prefixes[at], responses[at])

        for i, found in zip(asked, post_all(self.settings, COMPLETIONS, bodies, read), strict=True):
            losses[i] = found
        return losses

    def fingerprint(self) -> str:
        """`endpoint_fingerprint` of the served model; it does not tell one dtype from another."""
        return endpoint_fingerprint(self.settings)


def read_losses(
    reply: Reply, prefix: Sequence[int], response: Sequence[int]
) -> TokenLosses | GenerationFailure:
    """Take the losses of the response out of a completion; what is no such reply gets a name."""
    if isinstance(reply, GenerationFailure):
        return reply
    choice = first_choice(reply)
    indices = choice.get("prompt_logprobs") if choice is not None else None
    if not isinstance(indices, list):
        return GenerationFailure("malformed_reply", "no prompt_logprobs; is the server a vLLM?")
    length = len(prefix) + len(response)
    if len(indices) != length:
        return GenerationFailure(
            "malformed_reply", f"{len(indices)} positions for a prompt of {length} tokens"
        )
    found = []
    for at in range(length):
        token = prefix[at] if at < len(prefix) else response[at - len(prefix)]
        value = _value_of(indices[at], token)  # of prefixes too: it proves what the server read
        if value is not None and at >= len(prefix):
            found.append(value)
        elif value is None and at > 0:  # nothing predicts the first token of all
            return GenerationFailure("malformed_reply", f"place {at} does not name its token")
    return _token_losses(found)


def _losses_body(
    settings: EndpointSettings, prefix: Sequence[int], response: Sequence[int]
) -> JsonReply:
    return {
        **settings.extra_body,
        "model": settings.model,
        "prompt": [int(token) for token in (*prefix, *response)],
        "max_tokens": 1,  # none is not allowed
        "temperature": 0.0,
        "prompt_logprobs": 1,
    }


def _value_of(place: object, token: int) -> tuple[float, bool] | None:
    """(log probability, whether likeliest) of the token at a place; None where it is not there."""
    entry = place.get(str(token)) if isinstance(place, dict) else None
    if not isinstance(entry, dict):
        return None
    logprob, rank = read_logprob(entry.get("logprob")), entry.get("rank")
    if logprob is None or not isinstance(rank, int) or isinstance(rank, bool):
        return None
    return logprob, rank == 1


def _token_losses(values: Sequence[tuple[float, bool]]) -> TokenLosses:
    logprobs = np.array([logprob for logprob, _ in values], dtype=np.float64)
    # Rounding can lift a certain token's log probability a little above 0.
    with np.errstate(over="ignore"):  # beyond float32: infinite, and so no loss of a row
        nll = np.maximum(-logprobs, 0).astype(np.float32)
    top1 = np.array([likeliest for _, likeliest in values], dtype=np.bool_)
    return TokenLosses(nll=nll, entropy=None, top1=top1)
