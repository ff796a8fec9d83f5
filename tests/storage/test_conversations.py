"""Identity comes from content: the same conversation has one id, whatever its keys' order."""

import pytest

from storage.conversations import Conversation, Message, prompt_text, response_text

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


TALK: list[Message] = [
    {"role": "assistant", "content": "Hello!"},  # nobody has said anything
    USER,
    ANSWER,
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "\u200b"},  # nothing that a reader would see
    {"role": "assistant", "content": "No.", "weight": 0},
    {"role": "assistant", "content": "Yes.", "weight": 0.5},
    {"role": "user", "content": "Bye."},
]


def test_all_turns_that_can_be_learnt_are_trained_or_the_last_alone() -> None:
    every, last = Conversation(TALK, turns="all"), Conversation(TALK, turns="last")
    assert every.trained_at == [2, 6] and last.trained_at == [6]
    assert every.response_at == last.response_at == 6
    assert list(every.prompt) == TALK[:2] and list(last.prompt) == TALK[:6]
    assert response_text(every) == "4\n\nYes." and response_text(last) == "Yes."


def test_how_many_turns_are_trained_is_part_of_the_identity_where_it_makes_a_difference() -> None:
    every, last = Conversation(TALK, turns="all"), Conversation(TALK, turns="last")
    assert every.example_id != last.example_id and every.prompt_id != last.prompt_id
    single = [Conversation([USER, ANSWER], turns=turns) for turns in ("all", "last")]
    assert single[0].example_id == single[1].example_id == Conversation([USER, ANSWER]).example_id


def test_candidates_of_a_dialogue_share_what_stands_before_the_first_trained_turn() -> None:
    other: list[Message] = [*TALK[:2], {"role": "assistant", "content": "Four."}]
    assert Conversation(TALK, turns="all").prompt_id == Conversation(other, turns="all").prompt_id
