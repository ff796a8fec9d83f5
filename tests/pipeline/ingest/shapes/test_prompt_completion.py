import pytest

from pipeline.ingest.shapes import UnreadableRowError, read_conversation
from pipeline.ingest.shapes.prompt_completion import PAIRS
from storage.conversations import Conversation, Message


def turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}


ASK = turn("user", "1 + 2?")
ANSWER = turn("assistant", "3")


def read(**row: object) -> Conversation:
    conversation, shape = read_conversation(row)
    assert shape == "prompt_completion"
    return conversation


@pytest.mark.parametrize(("prompt", "response"), PAIRS)
def test_every_pair_of_texts(prompt: str, response: str) -> None:
    row = {prompt: "1 + 2?", response: "3", "id": 1}
    assert read(**row) == Conversation((ASK, ANSWER))


@pytest.mark.parametrize("prompt", ["1 + 2?", [ASK]])
@pytest.mark.parametrize("completion", ["3", [ANSWER]])
def test_either_side_may_be_turns(prompt: object, completion: object) -> None:
    assert read(prompt=prompt, completion=completion) == Conversation((ASK, ANSWER))


def test_a_completion_may_call_tools() -> None:
    call = {"role": "assistant", "tool_calls": [{"name": "add", "arguments": {"a": 1}}]}
    completion = [call, turn("tool", "3"), ANSWER]
    row = read(prompt=[turn("system", "a"), ASK], completion=completion, tools=[{"name": "add"}])
    assert [message["role"] for message in row.messages] == [
        *("system", "user", "assistant", "tool", "assistant")
    ]
    assert row.response_at == 4
    assert len(row.tools) == 1


def test_system_prompts_and_reasoning_beside_the_pair() -> None:
    row = read(system_prompt="Be brief.", question="1 + 2?", response="3", thinking="…")
    assert row.messages == (turn("system", "Be brief."), ASK, {**ANSWER, "reasoning_content": "…"})


def test_reasoning_goes_to_the_trained_turn() -> None:
    ends = [ANSWER, turn("user", "Sure?"), {**turn("assistant", "Yes."), "weight": 0}]
    call = {"role": "assistant", "tool_calls": [{"name": "add", "arguments": {}}]}
    row = read(prompt="a", completion=[call, turn("tool", "3"), ANSWER], thinking="…")
    assert row.response == {**ANSWER, "reasoning_content": "…"}
    with pytest.raises(UnreadableRowError, match=r"^odd_role_order: "):
        read(prompt="a", completion=ends)


@pytest.mark.parametrize("key", ["input", "context"])
def test_an_instruction_may_be_about_a_text(key: str) -> None:
    row = {"instruction": "Add.", key: "1, 2", "response": "3"}
    assert read(**row).messages[0] == turn("user", "Add.\n1, 2")
    assert read(**{**row, key: ""}).messages[0] == turn("user", "Add.")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "a", "completion": ""}, "empty_response"),
        ({"prompt": "a", "completion": []}, "empty_response"),
        ({"prompt": " ", "completion": "b"}, "empty_prompt"),
        ({"prompt": [], "completion": "b"}, "empty_prompt"),
        ({"prompt": 4, "completion": "b"}, "wrong_type"),
        ({"prompt": "a", "completion": {"b": 1}}, "wrong_type"),
        ({"prompt": [ASK, ANSWER], "completion": "b"}, "odd_role_order"),
        ({"prompt": "a", "completion": [ASK]}, "odd_role_order"),
        ({"prompt": "a", "completion": [turn("tool", "3"), ANSWER]}, "odd_role_order"),
        (
            {"prompt": [ASK, ANSWER, ASK], "completion": [{**ANSWER, "weight": 0}]},
            "no_trained_turn",
        ),
        ({"question": "a", "answer": "b", "context": "c"}, "unread_content"),
        ({"question": "a", "answer": "b", "context": {"c": ["d"]}}, "unread_content"),
        ({"prompt": "a", "response": "b", "input": "c"}, "unread_content"),
        ({"prompt": "a", "response": "b", "history": [["c", "d"]]}, "unread_content"),
        ({"instruction": "a", "response": "b", "history": [["c", "d"]]}, "unread_content"),
        ({"instruction": [ASK], "response": "b", "context": "c"}, "unread_content"),
        ({"instruction": "a", "response": "b", "input": "c", "context": "d"}, "conflicting_fields"),
        (
            {"prompt": "a", "completion": [{**ANSWER, "thinking": "b"}], "thinking": "c"},
            "conflicting_fields",
        ),
    ],
)
def test_refuses_by_name(row: dict, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}: "):
        read(**row)


def test_two_pairs_are_ambiguous_also_when_the_shape_is_named() -> None:
    row = {"prompt": "a", "completion": "b", "response": "c"}
    for shape in (None, "prompt_completion"):
        with pytest.raises(UnreadableRowError, match=r"^ambiguous_shape: .*prompt, response"):
            read_conversation(row, shape)
