"""Tool calls and the schemas of tools, in their canonical form.

    call    {"id"?, "type": "function", "function": {"name", "arguments": object}}
    tool    {"type": "function", "function": {"name", …}}

Arguments may be an object or a JSON string of one, and none is an empty object; they are kept as an
object, since templates disagree on which they want. A call or a tool may also be written without
its `function` wrapper.
The keys of arguments and schemas keep the order of the row, for templates print them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.fields import (
    Row,
    read_json,
    read_list,
    read_text,
    require_json_value,
    type_name,
)

ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")


def read_turn_calls(turn: Row, where: str) -> list[dict[str, Any]]:
    """The calls of a message: `tool_calls`, or the deprecated `function_call`.

    Raises:
        UnreadableRowError: bad_tool_calls, bad_tool_arguments, or conflicting_fields where a
            message has both.
    """
    calls = read_list(turn, "tool_calls", "bad_tool_calls")
    function_call = turn.get("function_call")
    if function_call is None:
        return [read_call(call, where) for call in calls]
    if calls:
        detail = f"{where} has tool_calls and function_call"
        raise UnreadableRowError("conflicting_fields", detail)
    return [read_call(function_call, where)]


def read_call(call: object, where: str) -> dict[str, Any]:
    """One call.

    Raises:
        UnreadableRowError: bad_tool_calls, bad_tool_arguments or conflicting_fields.
    """
    if not isinstance(call, Mapping):
        raise UnreadableRowError("bad_tool_calls", f"a call in {where} is {type_name(call)}")
    function = call if call.get("function") is None else call["function"]
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise UnreadableRowError("bad_tool_calls", f"a call in {where} names no function")
    # The schema of a bare tool has type "object" somewhere; a bare call has no type or "function".
    if call.get("type") not in (None, "function"):
        raise UnreadableRowError("bad_tool_calls", f"a call in {where} is not of type function")
    given = [function[key] for key in ARGUMENT_KEYS if function.get(key) is not None]
    if len(given) > 1:
        detail = f"a call in {where} has several of {', '.join(ARGUMENT_KEYS)}"
        raise UnreadableRowError("conflicting_fields", detail)
    arguments = read_arguments(given[0] if given else None, where)
    canonical = {"type": "function", "function": {"name": name, "arguments": arguments}}
    identity = read_text(call, "id", f"a call in {where}")
    return {"id": identity, **canonical} if identity else canonical


def read_arguments(arguments: object, where: str) -> dict[str, Any]:
    """The arguments of a call, as an object; empty where there are none.

    Raises:
        UnreadableRowError: bad_tool_arguments.
    """
    place = f"arguments of a call in {where}"
    if isinstance(arguments, str):
        blank = not arguments or arguments.isspace()
        arguments = None if blank else read_json(arguments, "bad_tool_arguments", place)
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        detail = f"{place} must be an object, they are {type_name(arguments)}"
        raise UnreadableRowError("bad_tool_arguments", detail)
    require_json_value(arguments, "bad_tool_arguments", place)
    return arguments


def read_tools(row: Row) -> Sequence[Mapping[str, Any]]:
    """The tools of a row: `tools`, or the deprecated `functions`; lists or JSON strings of them.

    Raises:
        UnreadableRowError: bad_tools, or conflicting_fields where a row has both.
    """
    tools = read_list(row, "tools", "bad_tools")
    functions = read_list(row, "functions", "bad_tools")
    if tools and functions:
        raise UnreadableRowError("conflicting_fields", "the row has tools and functions")
    return tuple(_read_tool(tool) for tool in tools or functions)


def _read_tool(tool: object) -> dict[str, Any]:
    if isinstance(tool, str):
        tool = read_json(tool, "bad_tools", "a tool")
    if not isinstance(tool, dict):
        raise UnreadableRowError("bad_tools", f"a tool must be an object, it is {type_name(tool)}")
    require_json_value(tool, "bad_tools", "a tool")
    function = tool.get("function")
    if function is None:
        function = {key: value for key, value in tool.items() if (key, value) != _FUNCTION_TYPE}
        tool = {"type": "function", "function": function}
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UnreadableRowError("bad_tools", "a tool names no function")
    return {**({} if "type" in tool else {"type": ""}), **tool, "type": "function"}


_FUNCTION_TYPE = ("type", "function")  # a mark of the wrapper, no part of the schema
