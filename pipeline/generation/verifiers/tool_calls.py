"""tool_calls: the answer calls tools that the row has, with arguments of their schemas.

Calls are the JSON objects with a `name` and `arguments` between `<tool_call>` and `</tool_call>`,
as Qwen and Hermes write them; else the answer itself, where it is one such object or a list of
them, or such objects a line each. Every call must name a tool of the row and have arguments that
are valid by its `parameters` (JSON Schema, by `jsonschema`); an argument that these do not name is
wrong unless they say `additionalProperties`. For answers to prompts with tools. What the calls
would do is not looked at: `tool_results` runs them. With `as_given` they are those of the given
response, in whatever order. Asks nothing. The format check of Liu et al. 2024, "APIGen",
arXiv:2406.18518.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from pipeline.generation.verifier import VerifierBlock
from storage.conversations import canonical_json
from storage.examples import Example

MARKED = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


class ToolCalls(VerifierBlock):
    """It calls tools that there are, with arguments that they take."""

    method: Literal["tool_calls"]
    may_answer: bool = Field(
        default=False, description="Whether an answer without any call passes."
    )
    as_given: bool = Field(
        default=False, description="Whether the calls must be those of the given response."
    )

    def takes(self, example: Example) -> bool:
        """Rows with tools, and where that is compared with calls in the given response."""
        return bool(example.tools) and (not self.as_given or bool(calls_of(example.response)))

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        schemas = {tool["name"]: tool.get("parameters") for tool in map(tool_of, source.tools)}
        told = [self._fault(schemas, text) for text in texts]
        if not self.as_given:
            return told
        wanted = comparable(calls_of(source.response))
        return [
            fault or ("" if comparable(calls_of(text)) == wanted else "other_calls")
            for fault, text in zip(told, texts, strict=True)
        ]

    def _fault(self, schemas: Mapping[str, Any], text: str) -> str:
        calls = calls_of(text)
        if calls is None:
            return "call_is_no_json"
        if not calls:
            return "" if self.may_answer else "no_call"
        return next((fault for call in calls if (fault := fault_of_call(schemas, call))), "")


def tool_of(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tool itself, of an entry that may have a type beside it."""
    tool: Mapping[str, Any] = given.get("function", given)
    return tool


def calls_of(text: str) -> list[Any] | None:
    """The calls in an answer, of whatever form; None where what is marked as one is no JSON."""
    marked = MARKED.findall(text)
    if marked:
        try:
            return [json.loads(each) for each in marked]
        except (ValueError, RecursionError):
            return None
    try:
        whole = json.loads(text)
        found = whole if isinstance(whole, list) else [whole]
    except (ValueError, RecursionError):
        try:  # as the text of a turn has the calls of it
            found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        except (ValueError, RecursionError):
            return []
    return [each for each in found if isinstance(each, dict) and "name" in each]


def comparable(calls: Sequence[Any] | None) -> list[bytes]:
    """Calls as what is the same whatever order they and their arguments have."""
    return sorted(
        canonical_json([call["name"], arguments_of(call)])
        for call in calls or ()
        if isinstance(call, dict) and "name" in call
    )


def arguments_of(call: Mapping[str, Any]) -> object:
    """The arguments of a call, which some write as a text; None where that is no JSON."""
    arguments = call.get("arguments", {})
    if not isinstance(arguments, str):
        return arguments
    try:
        read: object = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    return read


def fault_of_call(schemas: Mapping[str, Any], call: object) -> str:
    """What is wrong with a call; "" where nothing is."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return "call_without_name"
    if call["name"] not in schemas:
        return "unknown_tool"
    arguments = arguments_of(call)
    if arguments is None:
        return "call_is_no_json"
    schema = schemas[call["name"]] or {"type": "object"}
    if isinstance(schema, dict) and "properties" in schema:
        schema = {"additionalProperties": False, **schema}
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return "tool_has_no_schema"
    return "" if Draft202012Validator(schema).is_valid(arguments) else "wrong_arguments"
