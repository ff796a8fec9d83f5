from datetime import date
from typing import Any

import pytest

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.turns import read_turn, read_turns

CALLS = [{"function": {"name": "f", "arguments": {}}}]


def read(**turn: object) -> dict[str, Any]:
    return dict(read_turn(turn, "message 1"))


def test_null_is_absent() -> None:
    turn = {
        "role": "user",
        "content": "a",
        "name": None,
        "tool_calls": None,
        "function_call": None,
        "reasoning_content": None,
        "weight": None,
        "images": None,
        "refusal": None,
    }
    assert read(**turn) == {"role": "user", "content": "a"}


def test_what_is_unknown_is_left_out() -> None:
    assert read(role="user", content="a", id=4, timestamp="now", tool_calls=[]) == {
        "role": "user",
        "content": "a",
    }


def test_names_and_call_ids_are_kept() -> None:
    turn = {"role": "tool", "content": "3", "name": "f", "tool_call_id": "c1"}
    assert read(**turn) == turn


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_reasoning_has_one_name(key: str) -> None:
    turn = {"role": "assistant", "content": "<think>x</think>4", key: "2 + 2"}
    assert read(**turn) == {
        "role": "assistant",
        "content": "<think>x</think>4",
        "reasoning_content": "2 + 2",
    }


def test_reasoning_given_twice_must_agree() -> None:
    same = read(role="assistant", content="4", thinking="2 + 2", reasoning_content="2 + 2")
    assert same["reasoning_content"] == "2 + 2"
    with pytest.raises(UnreadableRowError, match=r"^conflicting_fields: .*thinking"):
        read(role="assistant", content="4", thinking="2 + 2", reasoning_content="1 + 3")


@pytest.mark.parametrize(
    "mark",
    [
        {"weight": 0},
        {"weight": 0.0},
        {"weight": False},
        {"train": False},
        {"weight": 0, "train": 0},
    ],
)
def test_an_untrained_answer_has_the_weight_zero(mark: dict) -> None:
    turn = {"role": "assistant", "content": "a"}
    assert read(**turn, **mark) == {**turn, "weight": 0}


@pytest.mark.parametrize("mark", [{"weight": 1}, {"weight": 1.0}, {"train": True}])
def test_a_trained_answer_has_no_mark(mark: dict) -> None:
    turn = {"role": "assistant", "content": "a"}
    assert read(**turn, **mark) == turn


@pytest.mark.parametrize("mark", [{"weight": 1}, {"weight": 0}, {"train": False}])
def test_a_mark_on_another_turn_says_nothing(mark: dict) -> None:
    assert read(role="user", content="a", **mark) == {"role": "user", "content": "a"}


def test_calls_keep_text_beside_them() -> None:
    turn = read(role="assistant", content="One moment.", tool_calls=CALLS)
    assert turn["content"] == "One moment."
    assert turn["tool_calls"] == [{"type": "function", **CALLS[0]}]


@pytest.mark.parametrize("content", [[], [{"type": "text", "text": ""}]])
def test_parts_without_text_are_empty(content: list) -> None:
    assert read(role="user", content=content)["content"] == ""


def test_roles_have_other_names() -> None:
    assert read(role="model", content="a") == {"role": "assistant", "content": "a"}
    assert read(role="ipython", content="a") == {"role": "tool", "content": "a"}


def test_a_turn_may_be_a_call_by_its_role() -> None:
    turn = read(
        role="tool_call", content='{"name": "f", "arguments": {"b": 1, "a": 2}}', loss=False
    )
    (call,) = turn.pop("tool_calls")
    assert turn == {"role": "assistant", "content": "", "weight": 0}
    assert call == {"type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": 2}}}
    beside = read(role="tool_call", content="", tool_calls=[call])
    assert beside == {"role": "assistant", "content": "", "tool_calls": [call]}


@pytest.mark.parametrize("kind", ["text", "input_text", "output_text"])
def test_parts_of_text_have_several_names(kind: str) -> None:
    parts = [{"type": kind, "text": "a"}, {"type": kind, "text": "b"}]
    for role in ("user", "assistant", "tool"):
        assert read(role=role, content=parts)["content"] == "a\nb"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, ""),
        ({"status": "ok", "items": [1, 2.5]}, '{"status": "ok", "items": [1, 2.5]}'),
        ([{"type": "house", "rooms": 3}], '[{"type": "house", "rooms": 3}]'),
        (["a", 1], '["a", 1]'),
        ([], "[]"),
        (False, "false"),
        (3, "3"),
        ("null", "null"),
    ],
)
def test_the_result_of_a_tool_is_written_as_json(result: object, text: str) -> None:
    assert read(role="tool", content=result) == {"role": "tool", "content": text}


USER = {"role": "user", "content": "a"}
ASSISTANT = {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"content": "a"}, "missing_key"),
        ({"role": "narrator", "content": "a"}, "unknown_role"),
        ({"role": ["user"], "content": "a"}, "unknown_role"),
        ({"role": "user", "content": 4}, "wrong_type"),
        ({"role": "user", "content": None}, "wrong_type"),
        ({"role": "assistant", "content": {"degrees": 3}}, "wrong_type"),
        ({"role": "tool", "content": date(2020, 1, 1)}, "wrong_type"),
        ({"role": "tool", "content": [{"type": "image", "image": "a"}]}, "unsupported_content"),
        ({"role": "tool_call", "content": "{}", "tool_calls": CALLS}, "conflicting_fields"),
        ({"role": "tool_call", "content": "f()"}, "bad_tool_calls"),
        ({"role": "user", "content": ["a"]}, "wrong_type"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "wrong_type"),
        ({**USER, "name": 4}, "wrong_type"),
        ({**ASSISTANT, "reasoning_content": ["a"]}, "wrong_type"),
        ({**ASSISTANT, "weight": "1"}, "unclear_mark"),
        ({**ASSISTANT, "weight": 1, "train": False}, "conflicting_fields"),
        ({**USER, "train": True}, "unsupported_content"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "unsupported_content"),
        ({"role": "user", "content": [{"text": "a"}]}, "unsupported_content"),
        (
            {"role": "assistant", "content": [{"type": "text", "text": "a", "train": False}]},
            "unsupported_content",
        ),
        ({**USER, "images": ["a.png"]}, "unsupported_content"),
        ({"role": "assistant", "content": None, "refusal": "No."}, "unsupported_content"),
        ({**ASSISTANT, "train_detail": [{"begin_offset": 0}]}, "unsupported_content"),
        ({**USER, "tool_calls": CALLS}, "unread_content"),
        ({**USER, "thinking": "a"}, "unread_content"),
        ({**ASSISTANT, "tool_calls": {"name": "f"}}, "bad_tool_calls"),
    ],
)
def test_refuses_by_name(turn: dict, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}: ") as refusal:
        read_turns([USER, turn])
    assert "message 2" in refusal.value.detail or reason == "bad_tool_calls"
