"""What trainers write of tools, calls and results that are given to them in columns of their own.

Each text here is that of a trainer's code. Whether a chat template writes the same is found out of
each row.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from scorers.measures.reading.chat_format import Tools

Call: TypeAlias = Mapping[str, Any]
"""As a message has it."""


@dataclass(frozen=True, slots=True)
class ResultFrames:
    """What is written around the results that an answer asked for, behind its end."""

    before: str
    between: str
    behind: str
    """Up to where the next answer begins."""


@dataclass(frozen=True, slots=True)
class ToolTexts:
    """What a trainer's template writes of the columns for tools."""

    tools: Callable[[Tools], str] | None
    """Behind the system prompt; None: what no chat template does, such as the date of the day."""
    calls: Callable[[Sequence[Call]], str | None]
    """At the end of an answer; None if it holds no such calls."""
    results: ResultFrames


def hermes_tools(tools: Tools) -> str:
    """Tools as Qwen's templates list them, a line each."""
    lines = "".join(f"\n{_json(tool)}" for tool in tools)
    return (
        "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
        f"{lines}\n</tools>\n\nFor each function call, return a json object with function name and "
        "arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def hermes_calls(calls: Sequence[Call]) -> str:
    """Calls within tags, one behind the other."""
    return "\n".join(f"<tool_call>\n{_json(named_call(call))}\n</tool_call>" for call in calls)


def llama_calls(calls: Sequence[Call]) -> str | None:
    """One call, with `parameters`; several are written otherwise by each trainer."""
    if len(calls) != 1:
        return None
    named = named_call(calls[0])
    return _json({"name": named["name"], "parameters": named["arguments"]})


def hermes_results(user: tuple[str, str]) -> ResultFrames:
    """Results within tags, as one message of a user's that has these frames."""
    opened, closed = "<tool_response>\n", "\n</tool_response>"
    return ResultFrames(user[0] + opened, f"{closed}\n{opened}", closed + user[1])


def named_call(call: Call) -> dict[str, Any]:
    """A call as both trainers read it: its name and its arguments."""
    return {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
