"""The canonical conversation: what every row becomes, and what its identity is made of.

Its identity is that of its canonical JSON, whose keys are sorted. It is stored with the keys of
tools and arguments as the row had them.

A message is a dict with these keys, each present only where the row had it:

    role               "system", "developer", "user", "assistant" or "tool"
    content            str, always present ("" where the row had null beside tool calls)
    tool_calls         [{"id"?, "type": "function", "function": {"name", "arguments": object}}]
    tool_call_id, name str
    reasoning_content  str, a reasoning field kept apart from the content
    weight             only on assistant turns: 0, must not be trained, or a float that is not 1,
                       by which its loss is to count

The trained turns are the assistant turns whose weight is not 0, all of them or the last one; what
stands before the first of them is the prompt. The response is the last of them. Turns after it are
kept in the example and never trained.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from storage.visible import is_blank

Message: TypeAlias = Mapping[str, Any]

TextField: TypeAlias = Literal["prompt", "response", "both"]
"""Which text of an example is compared."""

Turns: TypeAlias = Literal["all", "last"]
"""Which of its assistant turns a conversation is trained on."""

ID_LENGTH = 32
"""Hex digits kept of a SHA-256: 128 bits, so that no two of 10^15 examples are expected to meet."""


def canonical_json(value: object) -> bytes:
    """Serialise with sorted keys and no spaces, so that equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def messages_json(messages: Sequence[Message]) -> bytes:
    """Serialise messages for storage: canonical, but for the order of keys within their calls.

    A chat template prints arguments as they come, so their order is trained. The keys of a message
    itself are not printed. Where no key is called tool_calls this is the canonical JSON.
    """
    return orjson.dumps([dict(sorted(message.items())) for message in messages])


def tools_json(tools: Sequence[Mapping[str, Any]]) -> bytes:
    """Serialise tools for storage; a template prints their keys in this order."""
    return orjson.dumps(tools)


def content_hash(value: object) -> str:
    """Hash a JSON value by its canonical form; 32 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:ID_LENGTH]


def hash_content(messages: bytes, tools: bytes, rest: bytes = b"") -> str:
    """What content_hash gives of an object with these parts, which are canonical JSON each."""
    content = b'{"messages":%b,"tools":%b%b}' % (messages, tools, rest)
    return hashlib.sha256(content).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation in canonical form."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()  # JSON schemas of the tools the assistant could call
    turns: Turns = "last"
    trained_at: Sequence[int] = field(init=False, repr=False, compare=False)
    """Indices of the trained turns, ascending; none where there is no answer, only a prompt."""

    def __post_init__(self) -> None:
        # Derived once: whatever reads a row asks for it.
        object.__setattr__(self, "trained_at", find_trained_turns(self.messages, self.turns))

    def trained_on(self, turns: Turns) -> "Conversation":
        """The same conversation, trained on these of its turns."""
        if turns == self.turns or len(self.messages) < 3:  # one answer is trained either way
            return self
        return Conversation(self.messages, self.tools, turns)

    @property
    def response_at(self) -> int | None:
        """Index of the last trained turn; None where there is no answer, only a prompt."""
        return next(reversed(self.trained_at), None)

    @property
    def prompt(self) -> Sequence[Message]:
        """The messages before the first trained turn; all of them where there is none."""
        return self.messages[: next(iter(self.trained_at), None)]  # [:None] is all of them

    @property
    def response(self) -> Message | None:
        """The last trained turn."""
        return None if self.response_at is None else self.messages[self.response_at]

    @property
    def example_id(self) -> str:
        """Identity of the conversation, from its content and from which turns are trained.

        What is trained on one turn has the same id whichever way that turn was chosen, so one of
        several turns that are all trained is another example than the same with its last alone.
        """
        return self._identify(canonical_json(self.messages), canonical_json(self.tools))

    @property
    def prompt_id(self) -> str:
        """Identity of the prompt: candidates, answers to one prompt, share it."""
        return hash_content(canonical_json(self.prompt), canonical_json(self.tools))

    def _identify(self, messages: bytes, tools: bytes) -> str:
        several = len(self.trained_at) > 1
        return hash_content(messages, tools, b',"turns":"%b"' % self.turns.encode() * several)

    def encode(self) -> "EncodedConversation":
        """What is stored of it and follows from its messages and tools."""
        messages, tools = canonical_json(self.messages), canonical_json(self.tools)
        # No text has these bytes: its quotes are escaped.
        called = b'"tool_calls":' in messages
        return EncodedConversation(
            self._identify(messages, tools),
            hash_content(canonical_json(self.prompt), tools),
            messages_json(self.messages) if called else messages,
            tools_json(self.tools),
        )


class EncodedConversation(NamedTuple):
    """The ids of a conversation, and its JSON as it is stored."""

    example_id: str
    prompt_id: str
    messages: bytes
    tools: bytes


def find_trained_turns(messages: Sequence[Message], turns: Turns) -> list[int]:
    """Indices of the turns of a conversation that are trained.

    Of all turns those count that can be learnt: they say or call something, and answer what
    somebody said. The last one is in it whatever it says: that it says nothing is a fault of
    the row, which ingest tells.
    """
    weighted = [
        index
        for index, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("weight", 1) != 0
    ]
    if turns == "last" or len(weighted) < 2:
        return weighted[-1:]
    asked = (i for i, message in enumerate(messages) if asks_something(message))
    first = next(asked, len(messages))
    learnt = [i for i in weighted[:-1] if i > first and not says_nothing(messages[i])]
    return learnt + weighted[-1:]


def asks_something(message: Message) -> bool:
    """Whether a message is a user's or a tool's, and not blank."""
    return message["role"] in ("user", "tool") and not is_blank(message["content"])


def says_nothing(message: Message) -> bool:
    """Whether an assistant turn has neither text nor calls; reasoning alone is no answer."""
    return "tool_calls" not in message and is_blank(message["content"])


def message_text(message: Message) -> str:
    """What a person reads of a message: its reasoning, its content, its tool calls as JSON."""
    if len(message) == 2:  # a role and a content, as most are
        return str(message["content"])
    calls = [canonical_json(call["function"]).decode() for call in message.get("tool_calls", ())]
    parts = [message.get("reasoning_content", ""), message["content"], *calls]
    return "\n".join(part for part in parts if part)


def prompt_text(conversation: Conversation) -> str:
    """The prompt as plain text, turns joined by a blank line; what deduplication compares."""
    return join_texts(conversation.prompt)


def join_texts(messages: Sequence[Message]) -> str:
    """The texts of messages, a blank line between each two."""
    return "\n\n".join(map(message_text, messages))


def request_at(prompt: Sequence[Message]) -> int:
    """Where in a prompt the request begins that the response answers.

    It is what follows the last reply before, or, in a first turn, the system text. What stands
    before it other rows may share: all of a system prompt's, and the later turns of a dialogue. 0
    where nothing follows.
    """
    replies = [place for place, each in enumerate(prompt) if each["role"] == "assistant"]
    start = replies[-1] + 1 if replies else 0
    while not replies and start < len(prompt) and prompt[start]["role"] in ("system", "developer"):
        start += 1
    return start if any(message_text(each) for each in prompt[start:]) else 0


def response_text(conversation: Conversation) -> str:
    """The trained turns as plain text, joined by a blank line; "" where there is none."""
    return "\n\n".join(message_text(conversation.messages[at]) for at in conversation.trained_at)


def compared_text(of: TextField, prompt: str, response: str | None) -> str:
    """The text of an example that is compared; of both, one without a response has none.

    `WHOLE_TEXTS` of storage/texts.py says the same in SQL.
    """
    if of == "both":
        return "" if response is None else f"{prompt}\n\n{response}"
    return prompt if of == "prompt" else response or ""
