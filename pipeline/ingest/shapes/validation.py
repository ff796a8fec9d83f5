"""What makes messages a conversation that can be trained on, or answered.

The order of turns:

    start               system and developer turns, any number, at the start only; then a user turn
    user                any number in a row, as chat logs have them; then an assistant turn
    assistant           one; then a user turn, or tool turns if it called a tool
    tool                any number, only after an assistant turn that calls one; then an assistant
                        or a user turn

A call is in `tool_calls`, or stands in the text as <tool_call> (the Hermes form, which stays text).

The end: a conversation may go on after its trained response. Without a trained response it is a
prompt to generate for, and must end in a user turn.
"""

from pipeline.ingest.rows import UnreadableRowError
from pipeline.text.visible import is_blank
from storage.conversations import Conversation, Message

CALL_MARKUP = "<tool_call>"

_AFTER = {
    "start": frozenset({"system", "developer", "user"}),
    "system": frozenset({"system", "developer", "user"}),
    "developer": frozenset({"system", "developer", "user"}),
    "user": frozenset({"user", "assistant"}),
    "assistant": frozenset({"user", "tool"}),
    "tool": frozenset({"tool", "assistant", "user"}),
}


def check_conversation(conversation: Conversation) -> None:
    """Check the order of turns, and that prompt and response say something.

    Raises:
        UnreadableRowError: no_messages, empty_prompt, empty_response, odd_role_order or
            no_trained_turn.
    """
    messages, response_at = conversation.messages, conversation.response_at
    if not messages:
        raise UnreadableRowError("no_messages", "the row has no turns")
    _check_order(conversation, response_at)
    if response_at is None:
        _check_open_end(conversation)
        response_at = len(messages)
    elif _says_nothing(messages[response_at]):
        detail = f"the trained response, message {response_at + 1}, says and calls nothing"
        raise UnreadableRowError("empty_response", detail)
    for message in messages[:response_at]:
        if message["role"] in ("user", "tool") and not is_blank(message["content"]):
            return
    raise UnreadableRowError("empty_prompt", "nothing is said before the response")


def _check_order(conversation: Conversation, response_at: int | None) -> None:
    previous = "start"
    for index, message in enumerate(conversation.messages):
        role = message["role"]
        if role not in _AFTER[previous]:
            first_answer = previous in ("start", "system", "developer") and role == "assistant"
            if first_answer and index == response_at:
                raise UnreadableRowError("empty_prompt", "no turn stands before the response")
            detail = f"message {index + 1} has the role {role} after {previous}"
            raise UnreadableRowError("odd_role_order", detail)
        if role == "tool" and previous == "assistant":
            caller = conversation.messages[index - 1]
            if not _calls_a_tool(caller):
                detail = f"message {index + 1} answers a tool call, message {index} makes none"
                raise UnreadableRowError("odd_role_order", detail)
        previous = role


def _calls_a_tool(message: Message) -> bool:
    return "tool_calls" in message or CALL_MARKUP in message["content"]


def _check_open_end(conversation: Conversation) -> None:
    """Check a conversation without a trained response: it must be a prompt to generate for."""
    last = conversation.messages[-1]["role"]
    if last in ("system", "developer"):
        raise UnreadableRowError("empty_prompt", "the row has no turn of a user")
    if last != "user":
        raise UnreadableRowError("no_trained_turn", "every assistant turn has the weight 0")


def _says_nothing(message: Message) -> bool:
    """Whether an assistant turn has neither text nor calls; reasoning alone is no answer."""
    return "tool_calls" not in message and is_blank(message["content"])
