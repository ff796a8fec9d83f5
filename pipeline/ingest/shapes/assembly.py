"""From the messages of a row to its conversation: what stands beside them, then the checks."""

from collections.abc import Sequence

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.fields import Row, read_text
from pipeline.ingest.shapes.marks import weigh
from pipeline.ingest.shapes.tool_calls import read_tools
from pipeline.ingest.shapes.turns import MEDIA_KEYS, read_reasoning
from pipeline.ingest.shapes.validation import check_conversation
from storage.conversations import Conversation, Message
from storage.visible import is_blank

# Not `reasoning`, which at the level of a row is a label as often as a text.
ROW_REASONING_KEYS = ("reasoning_content", "thinking")
SYSTEM_KEYS = ("system", "system_prompt")

_BESIDE = MEDIA_KEYS.union(SYSTEM_KEYS, {"tools", "functions"})


def assemble(row: Row, messages: Sequence[Message]) -> Conversation:
    """Add the system prompt and the tools that stand beside the messages, and check the whole.

    Raises:
        UnreadableRowError: unsupported_content where the row holds images, audio or video;
            conflicting_fields where it has two system prompts; bad_tools; and what weigh and
            check_conversation raise.
    """
    messages = weigh(row, messages)
    if _BESIDE.isdisjoint(row):
        conversation = Conversation(tuple(messages))
    else:
        for key in sorted(MEDIA_KEYS.intersection(row)):
            if row[key]:
                raise UnreadableRowError("unsupported_content", f"the row holds {key}")
        conversation = Conversation(tuple(_with_system(row, messages)), read_tools(row))
    check_conversation(conversation)
    return conversation


def refuse_content(row: Row, keys: tuple[str, ...] = ROW_REASONING_KEYS) -> None:
    """Refuse content that stands beside the conversation and has no agreed place in it.

    Args:
        row: the row.
        keys: where such content stands; reasoning, beside a list of turns of which any may own it.

    Raises:
        UnreadableRowError: unread_content.
    """
    for key in keys:
        if row.get(key):
            detail = f"{key} has no agreed place beside the keys of this shape"
            raise UnreadableRowError("unread_content", detail)


def with_row_reasoning(row: Row, response: Message) -> Message:
    """Add the reasoning that stands beside a single response.

    Raises:
        UnreadableRowError: wrong_type or conflicting_fields.
    """
    reasoning = read_reasoning(row, ROW_REASONING_KEYS, "the row")
    if reasoning is None:
        return response
    if response.get("reasoning_content", reasoning) != reasoning:
        detail = "the row and its response hold different reasoning"
        raise UnreadableRowError("conflicting_fields", detail)
    return {**response, "reasoning_content": reasoning}


def _with_system(row: Row, messages: Sequence[Message]) -> Sequence[Message]:
    found = [read_text(row, key, "the row") for key in SYSTEM_KEYS]
    texts = {text for text in found if text and not is_blank(text)}  # a set: the same twice is one
    if messages and messages[0]["role"] in ("system", "developer"):
        texts.add(messages[0]["content"])
        prompt = []
    else:
        prompt = [{"role": "system", "content": text} for text in texts]
    if len(texts) > 1:
        raise UnreadableRowError("conflicting_fields", "the row has two system prompts")
    return [*prompt, *messages]
