from datetime import date
from typing import Any

import pytest

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.tool_calls import read_arguments, read_call, read_tools, read_turn_calls

ARGUMENTS = {"n": 18446744073709551615, "x": 0.1, "deep": {"list": [1, None, True]}, "none": None}
JSON = '{"n": 18446744073709551615, "x": 0.1, "deep": {"list": [1, null, true]}, "none": null}'
SCHEMA = {"name": "f", "description": "d", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": SCHEMA}


def call(**fields: object) -> dict[str, Any]:
    return {"function": {"name": "f", "arguments": "{}"}, **fields}


def test_arguments_survive_exactly() -> None:
    assert read_arguments(JSON, "message 1") == ARGUMENTS
    assert read_arguments(ARGUMENTS, "message 1") == ARGUMENTS
    assert type(read_arguments('{"a": 1.0}', "message 1")["a"]) is float


@pytest.mark.parametrize(
    "arguments",
    [
        "{",
        "[]",
        '{"a": 1, "a": 2}',
        '{"a": 18446744073709551616}',
        '{"a": NaN}',
        [1],
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": date(2020, 1, 1)},
        {"a": b"bytes"},
    ],
)
def test_refuses_arguments_that_are_no_object(arguments: object) -> None:
    with pytest.raises(UnreadableRowError, match=r"^bad_tool_arguments: .*message 3"):
        read_arguments(arguments, "message 3")


@pytest.mark.parametrize("arguments", [None, "", " \n", "null", "{}", {}])
def test_a_call_without_arguments_has_an_empty_object(arguments: object) -> None:
    assert read_arguments(arguments, "message 3") == {}
    assert read_call({"name": "f", "arguments": arguments}, "message 3")["function"] == {
        "name": "f",
        "arguments": {},
    }


@pytest.mark.parametrize("key", ["parameters", "args", "input"])
def test_arguments_have_other_names(key: str) -> None:
    read = read_call({"name": "f", key: {"a": 1}}, "message 3")
    assert read == {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    with pytest.raises(UnreadableRowError, match="conflicting_fields: a call in message 3"):
        read_call({"name": "f", "arguments": "{}", key: {"a": 1}}, "message 3")


def test_a_call_may_stand_without_its_wrapper() -> None:
    bare = read_call({"name": "f", "arguments": {"a": 1}}, "message 1")
    assert bare == read_call({"function": {"name": "f", "arguments": '{"a":1}'}}, "message 1")
    assert bare == {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}


def test_a_call_keeps_its_id_and_nothing_unknown() -> None:
    read = read_call(call(id="c1", type="function", index=0), "message 1")
    assert read == {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {}}}


@pytest.mark.parametrize(
    "bad",
    [
        "f()",
        {},
        {"function": "f"},
        {"function": {"arguments": "{}"}},
        {"name": "", "arguments": {}},
        call(type="custom"),
    ],
)
def test_refuses_calls_that_name_no_function(bad: object) -> None:
    with pytest.raises(UnreadableRowError, match=r"^bad_tool_calls: .*message 3"):
        read_call(bad, "message 3")


def test_calls_may_be_a_json_string() -> None:
    calls = read_turn_calls({"tool_calls": '[{"name": "f", "arguments": {}}]'}, "message 1")
    assert calls == [{"type": "function", "function": {"name": "f", "arguments": {}}}]


def test_refuses_calls_in_both_forms() -> None:
    with pytest.raises(UnreadableRowError, match=r"^conflicting_fields: "):
        read_turn_calls({"tool_calls": [call()], "function_call": {"name": "f"}}, "message 1")


@pytest.mark.parametrize(
    "row",
    [
        {"tools": [TOOL]},
        {"tools": [SCHEMA]},
        {"tools": [{"type": "function", **SCHEMA}]},
        {"tools": [{"function": SCHEMA}]},
        {"functions": [SCHEMA], "tools": []},
        {"tools": '[{"name":"f","description":"d","parameters":{"type":"object"}}]'},
        {"tools": ['{"name":"f","description":"d","parameters":{"type":"object"}}']},
    ],
)
def test_tools_have_one_form(row: dict) -> None:
    assert read_tools(row) == (TOOL,)


@pytest.mark.parametrize(
    "row", [{}, {"tools": None}, {"tools": []}, {"tools": ""}, {"tools": "[]"}]
)
def test_no_tools(row: dict) -> None:
    assert read_tools(row) == ()


def test_refuses_tools_that_name_no_function() -> None:
    bad: list[object] = [TOOL, "weather", [SCHEMA, 4], [{"description": "d"}], "[{"]
    for tools in [*bad, [{"name": "f", "default": float("nan")}]]:
        with pytest.raises(UnreadableRowError, match=r"^bad_tools: "):
            read_tools({"tools": tools})


def test_refuses_tools_in_both_forms() -> None:
    with pytest.raises(UnreadableRowError, match=r"^conflicting_fields: "):
        read_tools({"tools": [TOOL], "functions": [SCHEMA]})


@pytest.mark.parametrize(
    ("tool", "keys"),
    [
        (TOOL, ["type", "function"]),
        ({"function": SCHEMA}, ["type", "function"]),
        (SCHEMA, ["type", "function"]),
        ({"function": SCHEMA, "strict": True, "type": "function"}, ["function", "strict", "type"]),
    ],
    ids=["whole", "no type", "bare", "type last"],
)
def test_the_type_of_a_tool_stands_first_where_the_row_has_it_nowhere(
    tool: dict, keys: list[str]
) -> None:
    assert list(read_tools({"tools": [tool]})[0]) == keys
