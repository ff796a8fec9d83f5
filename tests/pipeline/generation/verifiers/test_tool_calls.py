import json

import pytest

from pipeline.generation.verifiers.tool_calls import ToolCalls
from tests.pipeline.generation.verifiers.given import faults, row

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
PLAIN = {"name": "now"}
SOURCE = row("And in Bonn?", tools=[WEATHER, PLAIN])


def call(name: str = "weather", **arguments: object) -> str:
    return json.dumps({"name": name, "arguments": arguments})


def marked(*calls: str) -> str:
    return "Let me see. " + "\n".join(f"<tool_call>\n{each}\n</tool_call>" for each in calls)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (marked(call(city="Bonn")), ""),
        (marked(call(city="Bonn"), call("now")), ""),
        (call(city="Bonn", days=2), ""),
        (f"[{call(city='Bonn')}]", ""),
        (f"Both.\n{call(city='Bonn')}\n{call('now')}", ""),
        (f"{call(city='Bonn')}\n{call(city=1)}", "wrong_arguments"),
        (json.dumps({"name": "weather", "arguments": json.dumps({"city": "Bonn"})}), ""),
        (marked(call(city="Bonn"), call(city=1)), "wrong_arguments"),
        (marked(call(days=2)), "wrong_arguments"),
        (marked(call(city="Bonn", country="DE")), "wrong_arguments"),
        (marked(call(city="Bonn", days="2")), "wrong_arguments"),
        (json.dumps({"name": "now", "arguments": [1]}), "wrong_arguments"),
        (marked(call("train", city="Bonn")), "unknown_tool"),
        (marked("{'name': 'weather'}"), "call_is_no_json"),
        (json.dumps({"name": "now", "arguments": "{"}), "call_is_no_json"),
        (marked('"weather"'), "call_without_name"),
        ("It will be fine in Bonn.", "no_call"),
        ('{"city": "Bonn"}', "no_call"),
        ("[" * 100_000, "no_call"),
    ],
)
def test_calls_are_of_tools_that_there_are_and_fit_their_schemas(answer: str, told: str) -> None:
    assert faults(ToolCalls(method="tool_calls"), SOURCE, answer) == [told]


def test_an_answer_in_words_passes_where_it_may() -> None:
    assert faults(ToolCalls(method="tool_calls", may_answer=True), SOURCE, "It is fine.") == [""]


def test_calls_are_those_of_the_given_response_where_that_is_asked() -> None:
    given = row("And in Bonn?", marked(call(city="Bonn", days=2), call("now")), SOURCE.tools)
    block = ToolCalls(method="tool_calls", as_given=True)
    told = {
        marked(call("now"), call(days=2, city="Bonn")): "",
        marked(call(city="Bonn", days=2)): "other_calls",
        marked(call(city="Bonn", days=3), call("now")): "other_calls",
        marked(call("train")): "unknown_tool",
    }
    assert faults(block, given, *told) == [*told.values()]
    assert block.takes(given) and not block.takes(row("?", "It is fine.", SOURCE.tools))


def test_a_tool_without_a_sound_schema_is_named() -> None:
    source = row("?", tools=[{"name": "weather", "parameters": {"type": "objekt"}}])
    assert faults(ToolCalls(method="tool_calls"), source, call()) == ["tool_has_no_schema"]
    assert not ToolCalls(method="tool_calls").takes(row("?"))
