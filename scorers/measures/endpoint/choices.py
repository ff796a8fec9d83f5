"""The one choice of a completion: its text, how it ended, and how many tokens it took."""

from typing import Literal

from scorers.measures.endpoint.reply import JsonReply
from scorers.measures.model_text import check_answer
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure

ENDED_BY_ITSELF = frozenset({"stop", "eos", "eos_token", "stop_sequence"})
"""Values of finish_reason for an answer that is whole; "length" is one that was cut."""

KNOWN_REASONS = ENDED_BY_ITSELF | {"length", "content_filter", "tool_calls"}

UNKNOWN = "unknown"

MOST_TOKENS = 2**31
"""A count of tokens that is not below this is none."""


def finish_reason(choice: JsonReply) -> str:
    """One of the known ones; what else a server says is not repeated."""
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) and reason in KNOWN_REASONS else UNKNOWN


def used_tokens(reply: JsonReply, of: Literal["completion_tokens", "prompt_tokens"]) -> int | None:
    """New tokens of a reply, or those of its prompt; None where it does not say."""
    usage = reply.get("usage")
    return as_tokens(usage.get(of)) if isinstance(usage, dict) else None


def read_choice_text(
    text: str | None, finish: str, reply: JsonReply
) -> GeneratedAnswer | GenerationFailure:
    """The text of a choice that was not stopped as an answer; what is none gets a name."""
    if text is None or not text.strip():
        return GenerationFailure("empty_answer", f"finish_reason {finish}")
    if finish == UNKNOWN:
        return GenerationFailure("malformed_reply", "finish_reason is none of the known ones")
    answer = GeneratedAnswer(
        text,
        used_tokens(reply, "completion_tokens"),
        finish != "length",
        used_tokens(reply, "prompt_tokens"),
    )
    return check_answer(answer)


def as_tokens(value: object) -> int | None:
    """A number of tokens; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < MOST_TOKENS else None
