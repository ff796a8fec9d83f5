"""Prompt and completion under two keys, each a text or a list of OpenAI turns.

The pairs of keys (a closed list):

    prompt, completion        prompt, response      question, answer
    question, response        query, response       instruction, response

`instruction, response` may have the text it is about under `input` or `context`, which is added to
the prompt after a line break, as Alpaca does; beside the other pairs such a text has no agreed
place, and the row is refused.

A completion as turns begins with the assistant and holds only assistant and tool turns.
"""

from typing import Any

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.assembly import assemble, refuse_content, with_row_reasoning
from pipeline.ingest.shapes.fields import Row, read_text, type_name
from pipeline.ingest.shapes.turns import read_turns
from storage.conversations import Conversation, Message

PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("instruction", "response"),
)


def read_prompt_completion(row: Row) -> Conversation:
    """Read a row with one of the pairs.

    Raises:
        UnreadableRowError: if the row is no conversation; the reason says why.
    """
    found = [pair for pair in PAIRS if all(row.get(key) is not None for key in pair)]
    if len(found) > 1:
        pairs = " and ".join(f"({', '.join(pair)})" for pair in found)
        raise UnreadableRowError("ambiguous_shape", f"the row has {pairs}")
    prompt_key, response_key = found[0]
    prompt = read_side(row, prompt_key, "user")
    about_keys: tuple[str, ...] = ("input", "context")
    if prompt_key == "instruction" and isinstance(row[prompt_key], str):
        prompt, about_keys = [_with_about(prompt[0], row, about_keys)], ()
    refuse_content(row, ("history", *about_keys))
    return join_sides(row, prompt, read_side(row, response_key, "assistant"))


def read_side(row: Row, key: str, role: str) -> list[Message]:
    """One side of the pair: a text, which is one turn of `role`, or a list of turns.

    Raises:
        UnreadableRowError: wrong_type, and what read_turns raises.
    """
    side: Any = row.get(key)
    if isinstance(side, str):
        return [{"role": role, "content": side}]
    if isinstance(side, list):
        return read_turns(side)
    detail = f"{key} must be a text or a list of turns, it is {type_name(side)}"
    raise UnreadableRowError("wrong_type", detail)


def join_sides(row: Row, prompt: list[Message], completion: list[Message]) -> Conversation:
    """Put the sides together; the trained response must lie in the completion.

    Raises:
        UnreadableRowError: odd_role_order, no_trained_turn, and what assemble raises.
    """
    roles = [message["role"] for message in completion]
    if roles[:1] != ["assistant"] or not {"assistant", "tool"}.issuperset(roles):
        detail = "a completion must begin with an assistant turn and hold no turn of a user"
        raise UnreadableRowError("odd_role_order" if roles else "empty_response", detail)
    if prompt and prompt[-1]["role"] == "assistant":
        detail = "the prompt ends in an assistant turn, which the completion may continue or follow"
        raise UnreadableRowError("odd_role_order", f"{detail}: write the row as messages")
    at = Conversation(completion).response_at
    if at is not None:
        completion[at] = with_row_reasoning(row, completion[at])
        conversation = assemble(row, [*prompt, *completion])
        # What stands beside the turns may leave none of the completion to be trained.
        begin = len(conversation.messages) - len(completion)
        if conversation.response_at is not None and conversation.response_at >= begin:
            return conversation
    raise UnreadableRowError("no_trained_turn", "no turn of the completion is trained")


def _with_about(prompt: Message, row: Row, keys: tuple[str, ...]) -> Message:
    texts = [text for key in keys if (text := read_text(row, key, "the row"))]
    if len(texts) > 1:
        raise UnreadableRowError("conflicting_fields", f"the row has {' and '.join(keys)}")
    parts = [part for part in (prompt["content"], *texts) if part]
    return {**prompt, "content": "\n".join(parts)}
