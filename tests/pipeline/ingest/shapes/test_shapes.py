"""How a row's shape is recognised, and the ten rows that abort other tools."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import pipeline.ingest.shapes
from pipeline.ingest.shapes import SHAPES, UnreadableRowError, read_conversation

ASK = {"role": "user", "content": "a"}
ANSWER = {"role": "assistant", "content": "b"}
CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
RESULT = {"role": "tool", "tool_call_id": "1", "content": "3"}

ROWS: dict[str, dict[str, Any]] = {
    "messages": {"messages": [ASK, ANSWER]},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "alpaca": {"instruction": "a", "output": "b"},
    "prompt_completion": {"prompt": "a", "completion": "b"},
    "input_output": {"input": "a", "output": "b"},
}
PAIR: dict[str, Any] = {"chosen": [ASK, ANSWER], "rejected": [ASK, {**ANSWER, "content": "c"}]}
OTHERS: dict[str, dict[str, Any]] = {
    "preference": PAIR,
    "prompt_only": {"prompt": "a"},
    "chatml_text": {"text": "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"},
}


def test_every_shape_file_is_in_the_table() -> None:
    files = {path.stem for path in Path(pipeline.ingest.shapes.__file__).parent.glob("*.py")}
    parts = {"__init__", "assembly", "fields", "marks", "roles", "turns"}
    parts |= {"tool_calls", "validation"}
    assert files - parts == set(SHAPES) == {*ROWS, *OTHERS}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_recognised_and_can_be_named(name: str) -> None:
    row = {**ROWS, **OTHERS}[name]
    conversation, recognised = read_conversation(row)
    assert recognised == name
    assert read_conversation(row, name) == (conversation, name)
    if name != "prompt_only":
        assert conversation.messages == (ASK, ANSWER)


@pytest.mark.parametrize(
    ("first", "second"),
    [pair for pair in combinations(ROWS, 2) if pair != ("alpaca", "input_output")],
)
def test_two_shapes_in_one_row_are_ambiguous_until_one_is_named(first: str, second: str) -> None:
    row = {**ROWS[first], **ROWS[second]}
    with pytest.raises(UnreadableRowError, match=r"^ambiguous_shape: ") as refusal:
        read_conversation(row)
    assert first in refusal.value.detail and second in refusal.value.detail
    if "input_output" not in (first, second):
        assert read_conversation(row, first) == read_conversation(ROWS[first], first)


def test_null_keys_are_absent() -> None:
    row = {**ROWS["messages"], "conversations": None, "instruction": None, "output": None}
    assert read_conversation(row)[1] == "messages"
    with pytest.raises(UnreadableRowError, match=r"^unknown_shape: "):
        read_conversation({"messages": None})


def test_an_alpaca_row_is_no_input_output_row() -> None:
    assert read_conversation({"instruction": "a", "input": "c", "output": "b"})[1] == "alpaca"


@pytest.mark.parametrize("name", ROWS)
def test_a_rendering_under_text_does_not_count(name: str) -> None:
    assert read_conversation({**ROWS[name], "text": "…"})[1] == name


def test_a_prompt_beside_messages_does_not_count() -> None:
    assert read_conversation({**ROWS["messages"], "prompt": "a"})[1] == "messages"


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ({"id": 1, "instruction": "a"}, "keys: id, instruction; .* alpaca, lacks output"),
        ({"id": 1, "body": "a"}, "keys: body, id; the nearest shape, messages, lacks messages"),
        ({}, "keys: none"),
        ({"prompt": "a", "chosen": "b"}, "keys: chosen, prompt; .* preference, lacks rejected"),
        ({"prompt": "a", "output": "b", "text": "c"}, "keys: output, prompt, text"),
    ],
)
def test_an_unknown_row_is_told_what_it_lacks(row: dict, detail: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^unknown_shape: .*{detail}"):
        read_conversation(row)


def test_text_counts_where_it_stands_alone_or_is_named() -> None:
    text = "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n"
    row = {"prompt": "a", "text": text}
    conversation, shape = read_conversation(row)
    assert (shape, list(conversation.messages)) == (
        "prompt_only",
        [{"role": "user", "content": "a"}],
    )
    assert read_conversation({"text": text, "id": 1})[1] == "chatml_text"
    assert read_conversation(row, "chatml_text")[0].messages[0]["content"] == "b"


def test_a_named_shape_reads_nothing_else() -> None:
    with pytest.raises(UnreadableRowError, match=r"^unknown_shape: .*lacks conversations"):
        read_conversation(ROWS["messages"], "sharegpt")


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'sharegpt'\? There are: alpaca, chat"):
        read_conversation(ROWS["sharegpt"], "share_gpt")


TOOL_TURNS = [{"role": "assistant", "content": None, "tool_calls": CALLS}, RESULT]
COMMON: dict[str, dict[str, Any]] = {
    "tool call with null content": {"messages": [ASK, *TOOL_TURNS, ANSWER]},
    "tool call without content": {
        "messages": [ASK, {"role": "assistant", "tool_calls": CALLS}, RESULT, ANSWER]
    },
    "developer role": {"messages": [{"role": "developer", "content": "c"}, ASK, ANSWER]},
    "content parts": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, ANSWER]
    },
    "prompt and completion": ROWS["prompt_completion"],
    "function_call and observation": {
        "conversations": [
            {"from": "human", "value": "a"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "b"},
        ]
    },
    "ends with the user": {"messages": [ASK, ANSWER, ASK]},
    "ChatML text": OTHERS["chatml_text"],
}


@pytest.mark.parametrize("name", COMMON)
def test_eight_of_the_ten_common_rows_are_read(name: str) -> None:
    conversation, _ = read_conversation(COMMON[name])
    assert conversation.response == ANSWER


def test_the_ninth_is_refused_by_name() -> None:
    # The tenth, a truncated line, never becomes a row: tests/pipeline/ingest/test_readers.py.
    with pytest.raises(UnreadableRowError, match=r"^empty_response: "):
        read_conversation({"messages": [ASK, {"role": "assistant", "content": ""}]})
