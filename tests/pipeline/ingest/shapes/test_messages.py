import pytest

from pipeline.ingest.shapes import UnreadableRowError, read_conversation
from storage.conversations import Conversation

ASK = {"role": "user", "content": "How warm is it in Oslo?"}
ANSWER = {"role": "assistant", "content": "Three degrees."}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo", "days": 1}'},
}
CANONICAL_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Oslo", "days": 1}},
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "3"}
SCHEMA = {"name": "weather", "parameters": {"type": "object", "properties": {}}}


def read(**row: object) -> Conversation:
    conversation, shape = read_conversation(row)
    assert shape == "messages"
    return conversation


def test_plain_turns_come_back_as_they_are() -> None:
    system = {"role": "system", "content": "Be brief. <think>"}
    assert read(messages=[system, ASK, ANSWER]) == Conversation((system, ASK, ANSWER))


def test_unrelated_keys_stay_out() -> None:
    row = {"id": 7, "source": "x", "license": "mit", "category": "qa", "score": float("nan")}
    assert read(**row, messages=[ASK, ANSWER]) == Conversation((ASK, ANSWER))


@pytest.mark.parametrize("content", [{"content": None}, {}], ids=["null", "absent"])
def test_a_tool_call_needs_no_content(content: dict) -> None:
    turn = {"role": "assistant", **content, "tool_calls": [CALL]}
    conversation = read(messages=[ASK, turn, RESULT, ANSWER])
    assert conversation.messages[1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [CANONICAL_CALL],
    }
    assert conversation.messages[2] == RESULT
    assert conversation.response_at == 3


def test_the_deprecated_function_form_is_the_same_conversation() -> None:
    now = read(
        messages=[
            ASK,
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
            },
            {"role": "tool", "name": "weather", "content": "3"},
            ANSWER,
        ],
        tools=[{"type": "function", "function": SCHEMA}],
    )
    then = read(
        messages=[
            ASK,
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "weather", "arguments": '{"city":"Oslo"}'},
            },
            {"role": "function", "name": "weather", "content": "3"},
            ANSWER,
        ],
        functions=[SCHEMA],
    )
    assert now == then
    assert now.example_id == then.example_id


def test_developer_turns_are_kept() -> None:
    developer = {"role": "developer", "content": "Answer in Norwegian."}
    assert read(messages=[developer, ASK, ANSWER]).messages[0] == developer


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "How warm"}, {"type": "text", "text": "is it?"}]
    user = {"role": "user", "content": parts}
    assert read(messages=[user, ANSWER]).messages[0]["content"] == "How warm\nis it?"


def test_a_conversation_may_end_with_the_user() -> None:
    thanks = {"role": "user", "content": "Thanks!"}
    conversation = read(messages=[ASK, ANSWER, thanks])
    assert conversation.response_at == 1
    assert conversation.messages[2] == thanks


def test_a_row_may_be_a_prompt_only() -> None:
    assert read(messages=[ASK]).response_at is None


def test_messages_may_be_a_json_string() -> None:
    text = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'
    assert len(read(messages=text).messages) == 2


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no_messages"),
        ("", "no_messages"),
        ("[{", "wrong_type"),
        ({"role": "user"}, "wrong_type"),
        ([ASK, "Three degrees."], "wrong_type"),
        ([ASK, {"role": "assistant", "content": ""}], "empty_response"),
        ([ASK, {"role": "assistant", "content": None}], "empty_response"),
        ([ASK, {"from": "gpt", "value": "Three."}], "missing_key"),
    ],
)
def test_refuses_by_name(messages: object, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}: "):
        read(messages=messages)


@pytest.mark.parametrize("key", ["reasoning_content", "thinking"])
def test_refuses_reasoning_that_belongs_to_no_turn(key: str) -> None:
    with pytest.raises(UnreadableRowError, match=r"^unread_content: "):
        read(messages=[ASK, ANSWER], **{key: "Let me see."})
    assert read(messages=[ASK, ANSWER], reasoning="maths", **{key: None})
