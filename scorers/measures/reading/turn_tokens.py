"""Find which tokens of a rendered conversation are the text of which turn.

A chat template writes more than what was said: role headers, ends of turns, a system prompt of its
own. Which tokens those are is not looked up in a list of ids but found by rendering twice:

    text   = template(messages)
    marked = template(messages with a mark in place of each turn's content)

What stands between the marks is the template's, and what stands between those pieces in `text` is
what a person or model said. Characters become tokens by the tokenizer's offsets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scorers.arrays import Ints
from scorers.measures.protocols import Message
from scorers.measures.reading.chat_format import (
    MOST_CHARACTERS,
    TOO_LONG,
    RenderingError,
    Tools,
    render_text,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PRIVATE = range(0xE000, 0xF900)  # characters without a meaning, one of which marks a place


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """The text of one turn, as token positions."""

    message: int  # its index
    role: str  # "user" or "assistant"
    positions: Ints  # (t,) ascending; of a user without special tokens and line breaks


@dataclass(frozen=True, slots=True)
class TurnTokens:
    """A conversation as token ids, nothing cut off, and who said which of them."""

    ids: list[int]
    turns: list[TurnSpan]  # of users and assistants whose content is not blank, in order


@dataclass(frozen=True, slots=True)
class _Tokenised:
    text: str
    ids: list[int]
    spans: list[tuple[int, int]]  # characters of each token, without the blanks around them


def find_turns(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Tools
) -> TurnTokens:
    """Tokenise a conversation and find the tokens of each turn.

    Tool calls, reasoning, tool results and system prompts count as the template's.

    Args:
        tokenizer: with offsets, as all fast ones have.
        messages: canonical form.
        tools: JSON schemas.

    Raises:
        RenderingError: if the template refuses the turns, or writes them so that what was said
            cannot be told from what it adds; if the text is longer than MOST_CHARACTERS.
        ValueError: if the tokenizer has no chat template, or no offsets.
    """
    if not tokenizer.is_fast:
        raise ValueError("this tokenizer tells no character offsets: use a fast one")
    said = [
        at
        for at, message in enumerate(messages)
        if message["role"] in ("user", "assistant") and message["content"].strip()
    ]
    text = render_text(tokenizer, messages, tools)
    if len(text) > MOST_CHARACTERS:
        raise RenderingError(TOO_LONG)
    mark = next(chr(code) for code in PRIVATE if chr(code) not in text)
    marked = [
        {**message, "content": f"{mark}{at}{mark}"} if at in said else message
        for at, message in enumerate(messages)
    ]
    # A group in the pattern is part of the result: piece, number, piece, number, …, piece.
    parts = re.split(f"{mark}(\\d+){mark}", render_text(tokenizer, marked, tools))
    if [int(number) for number in parts[1::2]] != said:
        raise RenderingError("the chat template leaves out or repeats a turn")
    spans = _find_spans(text, parts[::2], [str(messages[at]["content"]) for at in said])
    tokenised = _tokenise(tokenizer, text)
    special = set(tokenizer.all_special_ids)
    turns = [
        _turn(at, str(messages[at]["role"]), span, tokenised, special)
        for at, span in zip(said, spans, strict=True)
    ]
    return TurnTokens(tokenised.ids, turns)


def _find_spans(text: str, pieces: Sequence[str], contents: Sequence[str]) -> list[tuple[int, int]]:
    """First and last character of each content, which stand between the template's pieces."""
    at = len(pieces[0])
    sound = text.startswith(pieces[0])
    spans = []
    for content, piece in zip(contents, pieces[1:], strict=True):
        forms = (content, content.strip(), content.rstrip(), content.lstrip())  # as templates trim
        fitting = [form for form in forms if text.startswith(form + piece, at)]
        sound = sound and bool(fitting)
        if not sound:
            break
        spans.append((at, at + len(fitting[0])))
        at += len(fitting[0]) + len(piece)
    if not sound or at != len(text):  # something behind the last piece is nobody's
        raise RenderingError(
            "the chat template rewrites a turn, so that its tokens cannot be told from its own"
        )
    return spans


def _tokenise(tokenizer: PreTrainedTokenizerBase, text: str) -> _Tokenised:
    encoded: Any = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    spans = []
    for start, end in encoded["offset_mapping"]:
        written = text[start:end]
        left = len(written) - len(written.lstrip())
        right = len(written.rstrip())
        # A token of blanks alone keeps them: it may be what somebody wrote.
        spans.append((start + left, start + right) if left < right else (start, end))
    return _Tokenised(text, list(encoded["input_ids"]), spans)


def _turn(
    message: int, role: str, span: tuple[int, int], tokenised: _Tokenised, special: set[int]
) -> TurnSpan:
    start, end = span
    positions = [
        place
        for place, (first, last) in enumerate(tokenised.spans)
        if start <= first < last <= end  # a token across a border is not the turn's
        and not (role == "user" and _is_structure(tokenised, place, special))
    ]
    return TurnSpan(message, role, np.array(positions, dtype=np.int64))


def _is_structure(tokenised: _Tokenised, place: int, special: set[int]) -> bool:
    """Whether a token is a special one, or breaks lines and does nothing else."""
    written = tokenised.text[slice(*tokenised.spans[place])]
    return tokenised.ids[place] in special or ("\n" in written and not written.strip())
