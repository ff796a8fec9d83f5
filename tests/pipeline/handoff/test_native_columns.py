"""What stands in columns of the trainer's own; test_verify.py has the trainers read it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.handoff.catalogue import TRAINERS
from pipeline.handoff.write import PREDICTION_FILE, Wish, write_handoff
from tests.exports_of_every_shape import (
    SHAPES,
    WEATHER,
    Turn,
    answer,
    call,
    export_of_every_shape,
    result,
    system,
    user,
)

BRIEF = system("Be brief.")
CALL = {"name": "weather", "arguments": {"lat": 1.5, "unit": None}}


TAGGED = {
    "type": "function",
    "function": {"name": "weather", "arguments": {"q": "<tool_call>x</tool_call>"}},
}
UNDESCRIBED = {"type": "function", "function": {"name": "n", "description": None}}


def calling(*calls: Turn, said: str = "") -> Turn:
    return answer(said, tool_calls=list(calls))


def looked_up(found: str) -> list[Turn]:
    return [user("w?"), calling(call(1.5)), result(found), answer("So it is.")]


class Handed(NamedTuple):
    """A row as it was written, and its prediction."""

    line: dict[str, Any]
    columns: list[str] | None
    reason: str | None


def handed(
    family: str, name: str, turns: Sequence[Turn], folder: Path, tools: Sequence[Turn] = (WEATHER,)
) -> Handed:
    """What a trainer is given of a conversation: of its last turn, if each is a row."""
    shapes = {"plain": SHAPES["plain"], "asked": (turns, tools)}
    export_of_every_shape(family, folder, shapes)
    wish = Wish(folder / "export", TRAINERS[name], "conversations", folder / "model", "model", True)
    write_handoff(wish, folder / "out")
    lines = (folder / "out" / "data" / "train.jsonl").read_text().splitlines()
    told = (folder / "out" / PREDICTION_FILE).read_text().splitlines()
    asked = [row for row in map(json.loads, told) if row["row_id"].startswith(f"{2:032x}")][-1]
    return Handed(json.loads(lines[-1]), asked["columns"], asked["reason"])


def test_llamafactory_has_tools_calls_and_results_of_qwen_in_columns(tmp_path: Path) -> None:
    turns = [
        BRIEF,
        user("w?"),
        calling(call(1.5), call(1.5)),
        result("12"),
        result("13"),
        answer("."),
    ]
    line, columns, _ = handed("qwen2_5", "llamafactory", turns, tmp_path)
    assert columns == ["tools", "calls", "results"]
    assert (line["system"], json.loads(line["tools"])) == ("Be brief.", [WEATHER])
    said = line["conversations"]
    assert [turn["from"] for turn in said] == ["human", "function_call", "observation", "gpt"]
    assert json.loads(said[1]["value"]) == [CALL, CALL]
    assert said[2]["value"] == "12\n</tool_response>\n<tool_response>\n13"


def test_llamafactory_finds_calls_behind_a_text_between_tags(tmp_path: Path) -> None:
    line, _, _ = handed(
        "qwen2_5", "llamafactory", [user("w?"), calling(call(1.5), said="I look.")], tmp_path
    )
    assert line["conversations"][1] == {
        "from": "function_call", "value": f"I look.\n<tool_call>{json.dumps([CALL])}</tool_call>"
    }  # fmt: skip


def test_a_row_without_tools_has_an_empty_text_which_is_no_list_of_tools(tmp_path: Path) -> None:
    line, columns, _ = handed("qwen2_5", "llamafactory", [user("a"), answer("b")], tmp_path, ())
    assert (line["tools"], columns) == ("", [])


def test_ms_swift_has_a_message_for_each_call_and_result(tmp_path: Path) -> None:
    called = {**calling(call(1.5), call(1.5), said="I look."), "weight": 0}
    turns = [BRIEF, user("w?"), called, result("12"), result("13"), answer("12.")]
    line, columns, _ = handed("qwen2_5", "ms-swift", turns, tmp_path)
    assert columns == ["tools", "calls", "results"]
    assert json.loads(line["tools"]) == [WEATHER]
    assert line["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "w?"},
        {"role": "assistant", "content": "I look.\n", "loss": False},
        {"role": "tool_call", "content": json.dumps(CALL), "loss": False},
        {"role": "tool_call", "content": json.dumps(CALL), "loss": False},
        {"role": "tool_response", "content": "12"},
        {"role": "tool_response", "content": "13"},
        {"role": "assistant", "content": "12.", "loss": True},
    ]


def test_an_answer_of_nothing_is_a_message_too(tmp_path: Path) -> None:
    turns = [user("a"), answer("", weight=0), user("b"), answer("c")]
    line, _, _ = handed("qwen2_5", "ms-swift", turns, tmp_path, ())
    assert line["messages"][2] == {"role": "assistant", "content": "", "loss": False}


def test_what_the_template_writes_otherwise_stands_in_the_contents(tmp_path: Path) -> None:
    # Without a system prompt Qwen3's begins with the tools, and the trainers with two line breaks.
    turns = [user("w?"), calling(call(1.5))]
    line, columns, _ = handed("qwen3", "llamafactory", turns, tmp_path)
    assert columns == ["calls"]
    assert line["tools"] == "" and line["system"].startswith("# Tools")


def test_results_of_llama_are_read_by_the_trainer_that_names_their_role_alike(
    tmp_path: Path,
) -> None:
    turns = looked_up("12")
    line, columns, _ = handed("llama3_1", "llamafactory", turns, tmp_path / "llamafactory")
    assert columns == ["calls", "results"]  # tools stand in the user's message
    assert line["conversations"][2] == {"from": "observation", "value": '"12"'}
    other = handed("llama3_1", "ms-swift", turns, tmp_path / "ms-swift")
    assert other.reason == "its assistant turns do not alternate with a user's"


@pytest.mark.parametrize(
    ("name", "turns", "tools"),
    [
        ("llamafactory", [BRIEF, user("w?"), calling(TAGGED)], [WEATHER]),
        ("ms-swift", [BRIEF, user("w?"), answer("b")], [UNDESCRIBED]),
        ("ms-swift", [BRIEF, *looked_up("{{SYSTEM}}")], [WEATHER]),
        ("ms-swift", [BRIEF, *looked_up("Action: Action Input:")], [WEATHER]),
    ],
)
def test_what_would_be_read_otherwise_in_columns_is_not_put_there(
    name: str, turns: Sequence[Turn], tools: Sequence[Turn], tmp_path: Path
) -> None:
    assert handed("qwen2_5", name, turns, tmp_path, tools).columns == []


def test_a_result_with_the_text_between_results_is_left_in_the_contents(tmp_path: Path) -> None:
    turns = [BRIEF, *looked_up("1\n</tool_response>\n<tool_response>\n2")]
    assert handed("qwen2_5", "ms-swift", turns, tmp_path).columns == ["tools", "calls"]


@pytest.mark.parametrize(
    ("name", "place"), [("llamafactory", "{{idx}}"), ("ms-swift", "{{ROUND0}}")]
)
def test_a_text_that_a_trainer_fills_in_is_not_held(name: str, place: str, tmp_path: Path) -> None:
    handed_over = handed("qwen2_5", name, [user(f"what is {place}?"), answer("a")], tmp_path)
    assert handed_over.reason is not None and place in handed_over.reason
