"""What makes messages a conversation that can be trained on, or answered.

Turns may come in any order, as agents and chat logs write them: several of the assistant's, a
system turn in the middle, a greeting before the first question. Which of these a chat template can
render is the template's to say. A tool turn alone needs its call: an assistant turn that calls one,
with no user turn since, and no answer since to the result of another call.

A call is in `tool_calls`, or stands in the text as <tool_call> (the Hermes form, which stays text).

The end: a conversation may go on after its trained response. Without a trained response it is a
prompt to generate for, and may not end in a turn of the assistant or a tool.
"""

from collections.abc import Sequence

from pipeline.ingest.rows import UnreadableRowError
from storage.conversations import Conversation, Message, asks_something, says_nothing

CALL_MARKUP = "<tool_call>"


def check_conversation(conversation: Conversation) -> None:
    """Check the order of turns, and that prompt and response say something.

    Raises:
        UnreadableRowError: no_messages, empty_prompt, empty_response, odd_role_order or
            no_trained_turn.
    """
    messages, response_at = conversation.messages, conversation.response_at
    if not messages:
        raise UnreadableRowError("no_messages", "the row has no turns")
    if any(message["role"] == "tool" for message in messages):
        _check_tool_turns(messages)
    if response_at is None:
        _check_open_end(conversation)
        response_at = len(messages)
    elif says_nothing(messages[response_at]):
        detail = f"the trained response, message {response_at + 1}, says and calls nothing"
        raise UnreadableRowError("empty_response", detail)
    for message in messages[:response_at]:
        if asks_something(message):
            return
    raise UnreadableRowError("empty_prompt", "nothing is said before the response")


def _check_tool_turns(messages: Sequence[Message]) -> None:
    called, previous = False, ""
    for index, message in enumerate(messages, 1):
        role = message["role"]
        if role == "tool" and not called:
            detail = f"message {index} is a tool's, and the turns before it call none"
            advice = "write the call as tool_calls of the assistant turn before it"
            raise UnreadableRowError("odd_role_order", f"{detail}; {advice}")
        if role == "user":
            called = False
        elif role == "assistant":
            called = _calls_a_tool(message) or (called and previous != "tool")
        previous = role if role not in ("system", "developer") else previous


def _calls_a_tool(message: Message) -> bool:
    return "tool_calls" in message or CALL_MARKUP in message["content"]


def _check_open_end(conversation: Conversation) -> None:
    """Check a conversation without a trained response: it must be a prompt to generate for."""
    roles = [message["role"] for message in conversation.messages]
    if "user" not in roles:
        raise UnreadableRowError("empty_prompt", "the row has no turn of a user")
    if roles[-1] in ("assistant", "tool"):
        raise UnreadableRowError("no_trained_turn", "every assistant turn has the weight 0")
