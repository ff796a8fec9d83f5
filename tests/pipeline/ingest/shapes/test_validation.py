import pytest

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.validation import check_conversation
from storage.conversations import Conversation, Message

CALL = {"type": "function", "function": {"name": "f", "arguments": {}}}
TURNS: dict[str, Message] = {
    "s": {"role": "system", "content": "a"},
    "d": {"role": "developer", "content": "a"},
    "u": {"role": "user", "content": "a"},
    "a": {"role": "assistant", "content": "a"},
    "c": {"role": "assistant", "content": "", "tool_calls": [CALL]},
    "h": {"role": "assistant", "content": '<tool_call>{"name": "f"}</tool_call>'},
    "t": {"role": "tool", "content": "a"},
    "0": {"role": "assistant", "content": "a", "weight": 0},
    "U": {"role": "user", "content": " \n"},
    "A": {"role": "assistant", "content": " \n"},
    "z": {"role": "user", "content": "\u200b\ufeff"},
    "Z": {"role": "assistant", "content": "\u00ad\ufe0f\u200e"},
    "T": {"role": "tool", "content": ""},
    "R": {"role": "assistant", "content": "", "reasoning_content": "a"},
}


def check(order: str) -> None:
    check_conversation(Conversation(tuple(TURNS[turn] for turn in order)))


@pytest.mark.parametrize(
    "order",
    [
        *("u", "su", "sdu", "uu", "u0u"),  # prompts without an answer
        *("ua", "sua", "dua", "sduau", "uaua", "uau", "uua", "uauua"),
        *("uc", "uct", "ucta", "ucttctau", "ucu", "uctu"),
        *("uhta", "uhttua"),
        "u0ua",
        "ucTa",  # a tool that answers nothing
        *("uaa", "uaaua", "ua0", "aua", "saua", "asua"),  # several answers, a greeting
        *("usa", "uaus", "uada", "us"),  # a system turn in the middle
        *("ucctta", "uca", "uccsta", "ucstc"),  # one call in each turn, one without a result
        "Uaua",  # an empty turn before others that say something
    ],
)
def test_legal_orders(order: str) -> None:
    check(order)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("", "no_messages"),
        ("a", "empty_prompt"),
        ("sa", "empty_prompt"),
        ("Ua", "empty_prompt"),
        ("U", "empty_prompt"),
        ("s", "empty_prompt"),
        ("sd", "empty_prompt"),
        ("uA", "empty_response"),
        ("uR", "empty_response"),
        ("uauA", "empty_response"),
        ("uZ", "empty_response"),
        ("za", "empty_prompt"),
        ("aa", "empty_prompt"),
        ("t", "odd_role_order"),
        ("uta", "odd_role_order"),
        ("uata", "odd_role_order"),
        ("ucuta", "odd_role_order"),
        ("uctat", "odd_role_order"),
        ("uctsat", "odd_role_order"),
        ("u00", "no_trained_turn"),
        ("u0", "no_trained_turn"),
        ("su0", "no_trained_turn"),
    ],
)
def test_refuses_by_name(order: str, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}: "):
        check(order)


def test_says_which_turn_is_odd() -> None:
    with pytest.raises(UnreadableRowError, match="message 3 is a tool's, and the turns before it"):
        check("uat")
