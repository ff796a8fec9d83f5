"""Identity comes from content: the same conversation has one id, whatever its keys' order."""

import pytest

from storage.conversations import Conversation, prompt_text, response_text

USER = {"role": "user", "content": "What is 2 + 2?"}
ANSWER = {"role": "assistant", "content": "4"}


def test_key_order_does_not_matter() -> None:
    one = Conversation([{"role": "user", "content": "a"}, ANSWER])
    other = Conversation([{"content": "a", "role": "user"}, ANSWER])
    assert one.example_id == other.example_id


@pytest.mark.parametrize(
    "other",
    [
        Conversation([{"role": "user", "content": "What is 2 + 2? "}, ANSWER]),
        Conversation([{"role": "system", "content": "What is 2 + 2?"}, ANSWER]),
        Conversation([USER, {"role": "assistant", "content": "5"}]),
        Conversation([USER, ANSWER], [{"type": "function"}]),
    ],
    ids=["white space", "role", "answer", "tools"],
)
def test_anything_else_does(other: Conversation) -> None:
    assert Conversation([USER, ANSWER]).example_id != other.example_id


def test_candidates_share_the_prompt_id_and_not_the_example_id() -> None:
    one = Conversation([USER, ANSWER])
    other = Conversation([USER, {"role": "assistant", "content": "Four."}])
    assert one.prompt_id == other.prompt_id
    assert one.example_id != other.example_id


def test_tools_are_part_of_the_prompt() -> None:
    assert Conversation([USER, ANSWER]).prompt_id != Conversation([USER, ANSWER], [{}]).prompt_id


def test_the_response_is_the_last_trained_answer() -> None:
    untrained = {"role": "assistant", "content": "Bye.", "weight": 0}
    talk = Conversation([USER, ANSWER, USER, untrained])
    assert talk.response == ANSWER
    assert list(talk.prompt) == [USER]


def test_a_question_after_the_answer_is_kept_and_not_trained() -> None:
    talk = Conversation([USER, ANSWER, {"role": "user", "content": "Sure?"}])
    assert talk.response_at == 1
    assert talk.example_id != Conversation([USER, ANSWER]).example_id


def test_a_prompt_alone_has_no_response() -> None:
    talk = Conversation([USER])
    assert talk.response_at is None
    assert list(talk.prompt) == [USER]
    assert response_text(talk) == ""


def test_text_has_reasoning_and_calls() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    talk = Conversation(
        [
            USER,
            {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [call]},
        ]
    )
    assert response_text(talk) == 'Hm.\n{"arguments":{"a":2},"name":"add"}'
    assert prompt_text(talk) == "What is 2 + 2?"
