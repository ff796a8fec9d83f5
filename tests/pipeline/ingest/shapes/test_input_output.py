import pytest

from pipeline.ingest.shapes import UnreadableRowError, read_conversation

ASK = {"role": "user", "content": "1 + 2?"}
ANSWER = {"role": "assistant", "content": "3"}


@pytest.mark.parametrize("prompt", ["1 + 2?", [ASK]])
def test_reads_texts_and_turns(prompt: object) -> None:
    conversation, shape = read_conversation({"input": prompt, "output": "3"})
    assert shape == "input_output"
    assert conversation.messages == (ASK, ANSWER)


def test_a_system_prompt_beside_them() -> None:
    conversation, _ = read_conversation({"input": "a", "output": "b", "system_prompt": "c"})
    assert conversation.messages[0] == {"role": "system", "content": "c"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"output": " "}, "empty_response"),
        ({"input": ""}, "empty_prompt"),
        ({"input": 4}, "wrong_type"),
        ({"output": ["a"]}, "wrong_type"),
        ({"instruction": "Add."}, "unread_content"),
        ({"context": "a"}, "unread_content"),
    ],
)
def test_refuses_by_name(row: dict, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}: "):
        read_conversation({"input": "a", "output": "b", **row}, "input_output")
