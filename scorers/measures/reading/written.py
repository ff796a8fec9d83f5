"""What of a conversation a chat template writes, and what it forges.

Templates leave out without a word what their authors did not think of: reasoning (Qwen2.5), tool
calls (the first Llama 3), tool schemas (SmolLM2). Each such part of a row is replaced by a mark and
looked for in the rendering: a part of a trained turn within what is trained, another part anywhere
before it.

And a text may hold the tokenizer's control tokens: written into the template it would end a turn or
begin one that nobody took.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from scorers.measures.protocols import Message
from scorers.measures.reading.chat_format import (
    Template,
    Tools,
    render_text,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

THINK_TAG = re.compile(r"</?think>")
"""Reasoning within a content; templates move it, and the blanks around it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a conversation that a template may leave out."""

    kind: str
    """reasoning, tool call, tool result, tool schema, system text or text."""
    message: int | None
    """Index of the message it is in; None of a tool schema."""


def find_unwritten(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Tools,
    trained_at: Sequence[int],
    template: Template,
) -> list[Part]:
    """The parts of a conversation that the template does not write, each once, in their order.

    Args:
        tokenizer: with a chat template, where that is the template.
        messages: canonical form.
        tools: JSON schemas.
        trained_at: indices of the trained turns, ascending; at least one.
        template: those without a template of the tokenizer's write everything.

    Raises:
        RenderingError: if the template refuses the conversation itself.
    """
    if template != "chat":
        return []
    read = list(messages[: trained_at[-1] + 1])
    marks = _Marks(read, tools)
    marked = [marks.mark_message(at, message) for at, message in enumerate(read)]
    marked_tools = [marks.mark_schema(tool) for tool in tools]
    missing: set[Part] = set()
    if marks.parts:
        for at in trained_at:
            own = {mark: part for mark, part in marks.parts.items() if part.message == at}
            if own:
                text = _trained_text(tokenizer, marked[: at + 1], marked_tools)
                missing.update(part for mark, part in own.items() if mark not in text)
        whole = render_text(tokenizer, marked, marked_tools)
        missing.update(
            part
            for mark, part in marks.parts.items()
            if part.message not in trained_at and mark not in whole
        )
    for at in trained_at:
        pieces = THINK_TAG.split(str(read[at]["content"]))
        if len(pieces) == 1 and not marks.has(at):
            continue  # a text alone is written: there is nothing else to write
        text = _trained_text(tokenizer, read[: at + 1], list(tools))
        if any(piece.strip() not in text for piece in pieces):
            missing.add(Part("text", at))
    return sorted(
        missing, key=lambda part: (-1 if part.message is None else part.message, part.kind)
    )


def _trained_text(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Tools
) -> str:
    """What the template writes for the last of the messages, behind its header."""
    header = render_text(tokenizer, messages[:-1], tools, header=True)
    return render_text(tokenizer, messages, tools)[len(header) :]


def unused_mark(text: str) -> str:
    """Letters and digits that a text does not have: a template writes them as they are."""
    return next(mark for n in range(len(text) + 1) if (mark := f"zq{n}zq") not in text)


class _Marks:
    """Puts a mark in the place of each part, and remembers which stands for what.

    Letters and digits alone, so that a template may write them as they are, as JSON or as code.
    """

    def __init__(self, messages: Sequence[Message], tools: Tools) -> None:
        self._of = messages, tools
        self.parts: dict[str, Part] = {}

    @cached_property
    def _base(self) -> str:
        """What no part holds; most rows have no part to mark, and are not searched for it."""
        return unused_mark(str(self._of))

    def has(self, message: int) -> bool:
        """Whether a message has marked parts."""
        return any(part.message == message for part in self.parts.values())

    def _mark(self, kind: str, message: int | None) -> str:
        mark = f"{self._base}{len(self.parts)}x"  # the x: mark 1 is not the beginning of mark 10
        self.parts[mark] = Part(kind, message)
        return mark

    def mark_message(self, at: int, message: Message) -> dict[str, Any]:
        """A message with its parts marked; what a user or an assistant says stays."""
        marked = dict(message)
        if str(message.get("reasoning_content", "")).strip():
            marked["reasoning_content"] = self._mark("reasoning", at)
        kinds = {"tool": "tool result", "system": "system text", "developer": "system text"}
        if message["role"] in kinds and message["content"].strip():
            marked["content"] = self._mark(kinds[message["role"]], at)
        if "tool_calls" in message:
            marked["tool_calls"] = [self._mark_call(at, call) for call in message["tool_calls"]]
        return marked

    def _mark_call(self, at: int, call: Mapping[str, Any]) -> dict[str, Any]:
        function = call["function"]
        arguments = self._mark_texts(at, function["arguments"])
        name = self._mark("tool call", at)
        return {**call, "function": {**function, "name": name, "arguments": arguments}}

    def _mark_texts(self, at: int, value: object) -> object:
        """The texts of a JSON value marked; numbers and keys stay, for they have their types."""
        if isinstance(value, str):
            return self._mark("tool call", at) if value.strip() else value
        if isinstance(value, Mapping):
            return {key: self._mark_texts(at, each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._mark_texts(at, each) for each in value]
        return value

    def mark_schema(self, tool: Mapping[str, Any]) -> dict[str, Any]:
        """A tool schema with its name marked."""
        function = tool.get("function")
        if isinstance(function, Mapping) and "name" in function:
            return {**tool, "function": {**function, "name": self._mark("tool schema", None)}}
        return {**tool, "name": self._mark("tool schema", None)} if "name" in tool else dict(tool)


def find_control_tokens(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]
) -> list[tuple[int, str]]:
    """Control tokens that stand in the text of messages: index of the message, and the token.

    Those are the tokens that the tokenizer marks as special, where it makes them of the text. Each
    is named once for each message.
    """
    control = control_tokens(tokenizer)
    if control is None:
        return []
    suspect = [
        (at, text)
        for at, message in enumerate(messages)
        for text in texts_of(message)
        if control.search(text)
    ]
    return [
        (at, token)
        for at, texts in groupby(suspect, itemgetter(0))
        for token in dict.fromkeys(
            token
            for _, text in texts
            for token in control.findall(text)
            if tokenizer.convert_tokens_to_ids(token)
            in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        )
    ]


@lru_cache(maxsize=4)  # looked up for every row
def control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """A pattern of the special tokens, the longest first; None where there are none."""
    found: Mapping[int, Any] = tokenizer.added_tokens_decoder
    tokens = {str(token) for token in found.values() if token.special}
    tokens |= {str(token) for token in tokenizer.all_special_tokens}
    ordered = sorted(filter(str.strip, tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def texts_of(value: object) -> Iterator[str]:
    """Every text in a message, keys of objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            if type(each) is str:  # mostly
                yield each
            else:
                yield from texts_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_of(each)
