"""Conversations of role and content alone, of which a chat template makes the very same text.

Readers of columns give every message every key that some other has, null where it had none, and
read arguments of calls as one type. A message of two texts comes through all of them as it is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from pipeline.handoff.frames import cut_at_frames
from pipeline.handoff.prediction import UnheldRowError
from pipeline.handoff.promises import PromisedRow
from pipeline.handoff.trainer import Target
from scorers.measures.reading.chat_format import RenderingError, render_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class PlainMessage(TypedDict):
    """A message of two texts."""

    role: str
    content: str


def plain_messages(row: PromisedRow, target: Target) -> list[PlainMessage]:
    """A row's messages as role and content; tools, calls and reasoning as the template's own text.

    Args:
        row: as promised.
        target: with the chat template, and its frames.

    Raises:
        UnheldRowError: if no such messages give the row's text.
    """
    tokenizer, frames = target.tokenizer, target.frames
    same: list[PlainMessage] = [
        {"role": message["role"], "content": message["content"]} for message in row.messages
    ]
    if _writes(tokenizer, same, row.text):
        return same
    if frames is not None and (cut := cut_at_frames(row.text, frames)) is not None:
        written: list[PlainMessage] = []
        if cut.system is not None:
            written.append({"role": "system", "content": cut.system})
        for exchange in cut.exchanges:
            written.append({"role": "user", "content": exchange.user})
            written.append({"role": "assistant", "content": exchange.assistant})
        if _writes(tokenizer, written, row.text):
            return written
    raise UnheldRowError(
        "its tools, calls or reasoning cannot be written as the contents of messages: the chat "
        "template makes another text of them"
    )


def _writes(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[PlainMessage], text: str
) -> bool:
    """Whether the chat template makes this text of these messages."""
    try:
        return render_text(tokenizer, messages, ()) == text
    except RenderingError:
        return False
