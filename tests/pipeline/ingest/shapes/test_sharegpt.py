import pytest

from pipeline.ingest.shapes import UnreadableRowError, read_conversation
from storage.conversations import Conversation

ASK = {"from": "human", "value": "How warm is it?"}
ANSWER = {"from": "gpt", "value": "Three degrees."}


def read(*turns: object, **row: object) -> Conversation:
    conversation, shape = read_conversation({"conversations": list(turns), **row})
    assert shape == "sharegpt"
    return conversation


def test_turns_get_their_roles() -> None:
    system = {"from": "system", "value": "Be brief."}
    assert read(system, ASK, ANSWER).messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How warm is it?"},
        {"role": "assistant", "content": "Three degrees."},
    )


@pytest.mark.parametrize("speaker", ["gpt", "chatgpt", "bing", "bard", "model", "Assistant", "AI"])
def test_every_name_of_the_assistant(speaker: str) -> None:
    assert read(ASK, {"from": speaker, "value": "Three."}).messages[1] == {
        "role": "assistant",
        "content": "Three.",
    }


@pytest.mark.parametrize("observer", ["observation", "tool", "function-response", "Tool Result"])
@pytest.mark.parametrize("caller", ["function_call", "function-call", "tool_call"])
@pytest.mark.parametrize(
    "value",
    [
        '{"name": "weather", "arguments": {"city": "Oslo"}}',
        '{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}',
        '[{"name": "weather", "arguments": {"city": "Oslo"}}]',
        {"name": "weather", "arguments": {"city": "Oslo"}},
    ],
)
def test_calls_and_observations(value: object, caller: str, observer: str) -> None:
    conversation = read(
        ASK,
        {"from": caller, "value": value},
        {"from": observer, "value": "3"},
        ANSWER,
        tools='[{"name": "weather"}]',
    )
    function = {"name": "weather", "arguments": {"city": "Oslo"}}
    assert conversation.messages[1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": function}],
    }
    assert conversation.messages[2] == {"role": "tool", "content": "3"}
    assert conversation.tools == ({"type": "function", "function": {"name": "weather"}},)


def test_calls_in_the_text_stay_text() -> None:
    call = {"from": "gpt", "value": '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'}
    conversation = read(ASK, call, {"from": "tool", "value": "3"}, ANSWER)
    assert conversation.messages[1] == {"role": "assistant", "content": call["value"]}


def test_a_system_prompt_beside_the_turns() -> None:
    assert read(ASK, ANSWER, system="Be brief.").messages[0] == {
        "role": "system",
        "content": "Be brief.",
    }


def test_turns_may_have_what_openai_turns_have() -> None:
    turn = read(ASK, {**ANSWER, "weight": 0}, ASK, {**ANSWER, "thinking": "Oslo?"}).messages
    assert turn[1]["weight"] == 0
    assert turn[3]["reasoning_content"] == "Oslo?"


def test_openai_turns_under_conversations() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert read(*turns).messages == tuple(turns)


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ("Three.", "wrong_type"),
        ({"from": "gpt", "value": 4}, "wrong_type"),
        ({"from": "gpt"}, "missing_key"),
        ({"from": "gpt", "value": None}, "missing_key"),
        ({"value": "a"}, "missing_key"),
        ({"role": "assistant", "content": "a"}, "missing_key"),
        ({**ANSWER, "content": "b"}, "conflicting_fields"),
        ({"from": "narrator", "value": "a"}, "unknown_role"),
        ({"from": 4, "value": "a"}, "unknown_role"),
        ({"from": "gpt", "value": ""}, "empty_response"),
        ({"from": "function_call", "value": "weather()"}, "bad_tool_calls"),
        ({"from": "function_call", "value": "[]"}, "bad_tool_calls"),
        ({"from": "function_call", "value": '{"arguments": {}}'}, "bad_tool_calls"),
        ({"from": "function_call", "value": '{"name": "f", "arguments": 4}'}, "bad_tool_arguments"),
        ({"from": "observation", "value": "3"}, "odd_role_order"),
    ],
)
def test_refuses_by_name(turn: object, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}: "):
        read(ASK, turn)


def test_the_result_of_a_tool_may_be_null_or_an_object() -> None:
    call = {"from": "function_call", "value": '{"name": "f"}'}
    for value, text in ((None, ""), ({"é": [1, None]}, '{"é": [1, null]}'), ([], "[]"), (3, "3")):
        message = read(ASK, call, {"from": "observation", "value": value}, ANSWER).messages[2]
        assert message == {"role": "tool", "content": text}


def test_refuses_a_row_without_turns_and_reasoning_beside_them() -> None:
    with pytest.raises(UnreadableRowError, match=r"^no_messages: "):
        read()
    with pytest.raises(UnreadableRowError, match=r"^unread_content: "):
        read(ASK, ANSWER, thinking="Oslo?")
