import pytest

from pipeline.ingest.shapes import UnreadableRowError, read_conversation
from storage.conversations import Conversation, Message


def read(**row: object) -> Conversation:
    conversation, shape = read_conversation({"instruction": "Add.", "output": "3", **row})
    assert shape == "alpaca"
    return conversation


def turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("instruction", "about", "prompt"),
    [
        ("Add.", "1, 2", "Add.\n1, 2"),
        ("Add.", "", "Add."),
        ("Add.", None, "Add."),
        ("", "1, 2", "1, 2"),
        ("Add.\n", " 1", "Add.\n\n 1"),
    ],
)
def test_the_prompt_is_instruction_and_input(
    instruction: str, about: str | None, prompt: str
) -> None:
    row = read(instruction=instruction, input=about)
    assert row.messages == (turn("user", prompt), turn("assistant", "3"))


def test_a_row_without_input() -> None:
    assert read().messages == (turn("user", "Add."), turn("assistant", "3"))


@pytest.mark.parametrize("key", ["system", "system_prompt"])
def test_a_system_prompt(key: str) -> None:
    assert read(**{key: "Be brief."}).messages[0] == turn("system", "Be brief.")
    assert len(read(**{key: " "}).messages) == 2


def test_history_stands_before_the_prompt() -> None:
    row = read(system="Be brief.", history=[["a", "b"], ["c", "d"]])
    assert [message["content"] for message in row.messages] == [
        *("Be brief.", "a", "b", "c", "d", "Add.", "3")
    ]
    assert row.response_at == 6


def test_history_may_be_a_json_string() -> None:
    assert len(read(history='[["a", "b"]]').messages) == 4
    assert len(read(history="").messages) == 2


@pytest.mark.parametrize("key", ["reasoning_content", "thinking"])
def test_reasoning_belongs_to_the_response(key: str) -> None:
    assert read(**{key: "1 + 2"}).response == {
        "role": "assistant",
        "content": "3",
        "reasoning_content": "1 + 2",
    }


def test_a_rendering_beside_it_is_not_read() -> None:
    assert read(text="### Instruction: Add.").messages == read().messages


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"output": ""}, "empty_response"),
        ({"output": ["3"]}, "wrong_type"),
        ({"instruction": 4}, "wrong_type"),
        ({"input": 4}, "wrong_type"),
        ({"instruction": "", "input": ""}, "empty_prompt"),
        ({"history": [["a"]]}, "wrong_type"),
        ({"history": [["a", None]]}, "wrong_type"),
        ({"history": ["ab"]}, "wrong_type"),
        ({"history": 4}, "wrong_type"),
        ({"context": "1, 2"}, "unread_content"),
        ({"images": ["a.png"]}, "unsupported_content"),
        ({"system": "a", "system_prompt": "b"}, "conflicting_fields"),
    ],
)
def test_refuses_by_name(row: dict, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}: "):
        read(**row)
