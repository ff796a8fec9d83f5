import pytest

from pipeline.ingest.shapes import UnreadableRowError, read_conversation

ASK = {"role": "user", "content": "1 + 2?"}
ANSWER = {"role": "assistant", "content": "3"}


@pytest.mark.parametrize("prompt", ["1 + 2?", [ASK]])
def test_a_prompt_has_no_response(prompt: object) -> None:
    conversation, shape = read_conversation({"prompt": prompt, "id": 1})
    assert shape == "prompt_only"
    assert conversation.messages == (ASK,)
    assert conversation.response_at is None


def test_answers_within_a_prompt_are_context() -> None:
    conversation, _ = read_conversation({"prompt": [ASK, ANSWER, ASK]})
    assert conversation.messages[1] == {**ANSWER, "weight": 0}
    assert conversation.response_at is None


@pytest.mark.parametrize("key", ["output", "answer", "chosen", "solution"])
def test_an_answer_under_another_key_is_not_passed_over(key: str) -> None:
    row = {"prompt": "1 + 2?", key: "3"}
    with pytest.raises(UnreadableRowError, match=r"^unknown_shape: "):
        read_conversation(row)
    assert read_conversation(row, "prompt_only")[0].messages == (ASK,)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [("", "empty_prompt"), ([], "no_messages"), (4, "wrong_type"), ([ASK, ANSWER], "no_trained")],
)
def test_refuses_by_name(prompt: object, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}"):
        read_conversation({"prompt": prompt})
