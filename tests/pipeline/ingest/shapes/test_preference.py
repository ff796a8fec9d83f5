"""Pairs as published data sets write them, and rows that are nearly pairs."""

from typing import Any

import pytest

from pipeline.ingest.shapes import UnreadableRowError, read_conversation, understand_row
from storage.conversations import Conversation, Message


def turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}


SYSTEM, ASK = turn("system", "Be brief."), turn("user", "1 + 2?")
GOOD, BAD = turn("assistant", "3"), turn("assistant", "4")
MORE = turn("user", "Sure?")
HUMAN = "\n\nHuman: 1 + 2?\n\nAssistant:"


def pair(row: dict[str, Any]) -> tuple[list[Message], list[Message]]:
    found = understand_row(row)
    assert found.shape == "preference" and found.rejected is not None
    assert read_conversation(row) == (found.conversation, "preference")
    return list(found.conversation.messages), list(found.rejected.messages)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "1 + 2?", "chosen": "3", "rejected": "4"},
        {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": [ASK], "chosen": GOOD, "rejected": BAD},
        {"chosen": [ASK, GOOD], "rejected": [ASK, BAD]},
        # HuggingFaceH4/ultrafeedback_binarized
        {"prompt": "1 + 2?", "chosen": [ASK, GOOD], "rejected": [ASK, BAD], "score_chosen": 8.0},
        {
            "prompt": "1 + 2?",
            "chosen": [ASK, GOOD],
            "rejected": [ASK, BAD],
            "messages": [ASK, GOOD],
        },
        # Anthropic/hh-rlhf, and with the prompt apart
        {"chosen": f"{HUMAN} 3", "rejected": f"{HUMAN} 4"},
        {"prompt": HUMAN, "chosen": " 3", "rejected": " 4"},
        {"prompt": "\n\nHuman: 1 + 2?", "chosen": "3", "rejected": "4"},
        {"instruction": "1 + 2?", "chosen_response": "3", "rejected_response": "4"},
        {"question": "1 + 2?", "chosen": "3", "rejected": "4", "text": "…"},
    ],
)
def test_every_form_is_the_same_pair(row: dict[str, Any]) -> None:
    assert pair(row) == ([ASK, GOOD], [ASK, BAD])


def test_a_system_prompt_and_tools_belong_to_both() -> None:
    row = {"system": "Be brief.", "question": "1 + 2?", "chosen": "3", "rejected": "4"}
    found = understand_row({**row, "tools": [{"name": "add"}]})
    assert found.rejected is not None
    for said, answer in ((found.conversation, GOOD), (found.rejected, BAD)):
        assert list(said.messages) == [SYSTEM, ASK, answer] and len(said.tools) == 1
    assert found.conversation.prompt_id == found.rejected.prompt_id


def test_earlier_answers_are_context() -> None:
    chosen, rejected = [ASK, BAD, MORE, GOOD], [ASK, BAD, MORE, BAD]
    assert pair({"chosen": chosen, "rejected": rejected}) == (chosen, rejected)
    text = "\n\nHuman: 1 + 2?\n\nAssistant: 4\n\nHuman: Sure?\n\nAssistant: "
    assert pair({"chosen": text + "3", "rejected": text + "4"}) == (chosen, rejected)
    assert pair({"prompt": text, "chosen": "3", "rejected": "4"}) == (chosen, rejected)
    found = understand_row({"prompt": "Sure?", "chosen": chosen, "rejected": rejected})
    assert found.conversation == Conversation(tuple(chosen)) and found.conversation.trained_at == [
        3
    ]


def test_white_space_of_an_answer_is_kept() -> None:
    assert pair({"prompt": "1 + 2?", "chosen": " 3", "rejected": "4"})[0][1]["content"] == " 3"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "same_answers"),
        ({"chosen": [ASK, GOOD], "rejected": [MORE, BAD]}, "different_prompts"),
        ({"prompt": "a", "chosen": [ASK, GOOD], "rejected": "4"}, "conflicting_fields"),
        ({"prompt": "1 + 2?", "chosen": [ASK, GOOD], "rejected": [MORE, BAD]}, "different_prompts"),
        ({"chosen": [ASK, GOOD], "rejected": [BAD]}, "empty_prompt"),
        ({"chosen": "b", "rejected": "c"}, "empty_prompt"),
        ({"chosen": [ASK], "rejected": [BAD]}, "odd_role_order"),
        ({"prompt": "a", "chosen": [], "rejected": [BAD]}, "empty_response"),
        ({"prompt": "a", "chosen": "", "rejected": "c"}, "empty_response"),
        ({"chosen": [ASK, GOOD, GOOD], "rejected": [ASK, GOOD, BAD]}, "odd_role_order"),
        ({"prompt": [ASK, GOOD], "chosen": "b", "rejected": "c"}, "odd_role_order"),
        ({"prompt": 3, "chosen": "b", "rejected": "c"}, "wrong_type"),
        ({"prompt": "a", "chosen": 1.5, "rejected": "c"}, "wrong_type"),
        ({"prompt": "a", "query": "b", "chosen": "b", "rejected": "c"}, "ambiguous_shape"),
        ({"prompt": "a", "completion": "b", "chosen": "b", "rejected": "c"}, "ambiguous_shape"),
        ({"prompt": "a", "context": "x", "chosen": "b", "rejected": "c"}, "unread_content"),
        ({"prompt": "a", "thinking": "x", "chosen": "b", "rejected": "c"}, "unread_content"),
        (
            {"chosen": [ASK, GOOD], "rejected": [ASK, BAD], "messages": [ASK, BAD]},
            "conflicting_fields",
        ),
    ],
)
def test_a_row_that_is_no_pair_is_refused_by_name(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}: "):
        understand_row(row)


def test_two_pairs_of_answers_are_ambiguous() -> None:
    row = {"prompt": "a", "chosen": "b", "rejected": "c"}
    both = {**row, "chosen_response": "b", "rejected_response": "c"}
    with pytest.raises(UnreadableRowError, match=r"^ambiguous_shape: "):
        understand_row(both, "preference")
