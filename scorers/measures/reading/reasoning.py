"""Which of a trained turn's tokens are its reasoning: what the template writes of it, by character.

The reasoning is replaced by a mark and the turn rendered once more: where the mark comes to stand,
there the reasoning begins. So the template's own marks around it are never needed, and an answer
that repeats its reasoning is no matter. A token that has a character of it is reasoning; the marks
around it, the answer and the end of turn are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scorers.measures.protocols import Message
from scorers.measures.reading.chat_format import Template, Tools, render_text
from scorers.measures.reading.dialogue import RenderedTurn
from scorers.measures.reading.written import unused_mark

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPENS, CLOSES = "<think>", "</think>"
"""Around reasoning within a content."""

Span = tuple[int, int]
"""First token of a turn's response that is reasoning, and the first behind it; equal: none is."""


def find_reasoning(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Tools,
    turn: RenderedTurn,
    template: Template,
) -> Span | None:
    """The reasoning among a trained turn's response tokens.

    Args:
        tokenizer: of the model that reads the ids.
        messages: canonical form.
        tools: JSON schemas.
        turn: as `render_turns` gives it for these.
        template: that it was rendered in.

    Returns:
        Where it stands; None where that cannot be told: under another template than a chat
        template, by a tokenizer without offsets, or where the template writes it otherwise.

    Raises:
        RenderingError: if the template refuses the conversation with a mark in it.
    """
    message = messages[turn.message]
    mark = unused_mark(str(messages[: turn.message + 1]))
    reasoning, marked = mark_reasoning(message, mark)
    if not reasoning:
        return 0, 0
    if template != "chat" or not tokenizer.is_fast:
        return None
    before = messages[: turn.message]
    text = render_text(tokenizer, [*before, message], tools)
    start = render_text(tokenizer, [*before, marked], tools).find(mark)
    if start < 0:
        return 0, 0  # the template leaves it out
    end = start + len(reasoning)
    if text[start:end] != reasoning:
        return None
    return tokens_of(tokenizer, text, (start, end), turn)


def tokens_of(
    tokenizer: PreTrainedTokenizerBase, text: str, characters: Span, turn: RenderedTurn
) -> Span | None:
    """The response tokens of a turn that have one of these characters of its text."""
    read: Any = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    if [*read["input_ids"]] != [*turn.alone.prompt, *turn.alone.response]:
        return None
    offsets = read["offset_mapping"][turn.start :]
    at = [
        place
        for place, (first, end) in enumerate(offsets)
        if first < characters[1] and end > characters[0]
    ]
    return (at[0], at[-1] + 1) if at else (0, 0)


def mark_reasoning(message: Mapping[str, Any], mark: str) -> tuple[str, dict[str, Any]]:
    """A message's reasoning without blanks around it, and the message with a mark in its place."""
    own = str(message.get("reasoning_content") or "").strip()
    if own:
        return own, {**message, "reasoning_content": mark}
    head, opens, rest = str(message["content"]).partition(OPENS)
    inner, closes, tail = rest.partition(CLOSES)
    reasoning = inner.strip()
    if not (closes and reasoning):
        return "", dict(message)
    marked = inner.replace(reasoning, mark, 1)
    return reasoning, {**message, "content": f"{head}{opens}{marked}{closes}{tail}"}
