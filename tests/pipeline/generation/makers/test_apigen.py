"""APIGen: what is shown and asked, what is kept, and that a kept row reads as it was written."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema
import pytest

from pipeline.generation.maker import Ask, Settled
from pipeline.generation.makers.apigen import APIGen, make_by_apigen, shape_of
from pipeline.generation.verifiers.tool_calls import ToolCalls
from pipeline.ingest.shapes.tool_calls import read_turn_calls
from scorers.measures.protocols import GeneratedAnswer, JsonForm
from storage.conversations import Conversation
from storage.examples import Example

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
NOW = {"type": "function", "function": {"name": "now"}}
VERIFY = (ToolCalls(method="tool_calls"),)


def source(query: str, tools: Sequence[dict[str, Any]], city: str | None = None) -> Example:
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": city}}}
    answer = {"role": "assistant", "content": "" if city else "It is fine."}
    row = Conversation(
        [{"role": "user", "content": query}, answer | ({"tool_calls": [call]} if city else {})],
        tools,
    )
    messages = [dict(each) for each in row.messages]
    return Example(row.example_id, row.prompt_id, messages, [*tools], 1, query, "", [1])


SEED = source("Is it fine in Bonn?", [WEATHER, NOW], "Bonn")


def reply(query: str, *calls: tuple[str, Mapping[str, object]]) -> str:
    listed = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return json.dumps({"query": query, "calls": listed})


def run(
    settings: APIGen, sources: Sequence[Example], *said: str
) -> tuple[list[Ask], list[Settled]]:
    """All that is asked, and what became of it."""
    making = make_by_apigen(settings, sources, 1)
    replies, asked, settled = iter(said), list[Ask](), list[Settled]()
    wanted = next(making)
    while True:
        asked += wanted.asks
        settled += wanted.settled
        try:
            wanted = making.send([GeneratedAnswer(next(replies), 1, True) for _ in wanted.asks])
        except StopIteration as ended:
            return asked, settled + list(ended.value)


def simple(rows: int = 100, prompts_at_most: int = 9, shown_rows: int = 2) -> APIGen:
    return APIGen(
        method="apigen",
        rows=rows,
        prompts_at_most=prompts_at_most,
        kinds=("simple",),
        shown_rows=shown_rows,
        verify=VERIFY,
    )


def test_of_each_reply_it_is_told_why_it_is_no_row() -> None:
    said = {
        reply("How is Rome?", ("weather", {"city": "Rome"})): "simple",
        reply("How is Rome, then?", ("weather", {"city": "Rome"})): "duplicate",  # the same calls
        reply("how is rome", ("weather", {"city": "Roma"})): "duplicate",  # the same words
        reply("And in Bonn now?", ("weather", {"city": "Bonn"})): "duplicate",  # a row's calls
        reply("How is Paris?", ("weather", {"town": "Paris"})): "wrong_arguments",
        reply("How is Pisa?", ("weather", {"city": "Pisa", "day": 1})): "wrong_arguments",
        reply("Where is Pisa?", ("map", {"city": "Pisa"})): "unknown_tool",
        reply("Two?", ("weather", {"city": "a"}), ("weather", {"city": "b"})): "other_kind",
        reply("Twice?", ("weather", {"city": "a"}), ("weather", {"city": "a"})): "call_twice",
        reply("the", ("weather", {"city": "a"})): "no_content",
        '{"query": "How is Oslo?", "calls": []}': "other_json",
        "How is Oslo?": "no_json",
    }
    rows = [source("How is it?", [WEATHER]), source("Is it fine in Bonn?", [WEATHER], "Bonn")]
    asked, settled = run(simple(prompts_at_most=len(said)), rows, *said)
    assert [each.reason for each in settled] == list(said.values())
    assert len(asked) == len(said)


def test_a_kept_row_has_its_tools_and_calls_and_reads_as_it_was_written() -> None:
    said = reply("How is Rome?", ("weather", {"city": "Rome"}))
    given = source("How is it?", [WEATHER])
    _, (kept,) = run(simple(prompts_at_most=1), [given], said)
    assert kept.row is not None and kept.row.tools == [WEATHER]
    assert [*kept.parents] == [given.example_id], "the tool is its"
    asked, answer = kept.row.messages
    assert asked == {"role": "user", "content": "How is Rome?"} and kept.row.response_at == 1
    assert read_turn_calls(json.loads(json.dumps(answer)), "it") == answer["tool_calls"]
    assert answer["tool_calls"][0]["function"]["arguments"] == {"city": "Rome"}


def test_what_was_kept_is_shown_and_parents_are_the_rows_that_were_shown() -> None:
    rows = [source("Is it fine in Bonn?", [WEATHER], "Bonn")]
    cities = ["Rome", "Oslo", "Pisa", "Graz", "Lima"]
    said = [reply(f"How is {city}?", ("weather", {"city": city})) for city in cities]
    asked, settled = run(simple(rows=5, shown_rows=9, prompts_at_most=9), rows, *said, *["x"] * 3)
    assert [each.reason for each in settled] == ["simple"] * 5 + ["no_json"] * 3
    shown = [str(each.messages[0]["content"]) for each in asked]
    assert all("Bonn" in each for each in shown)
    assert "Rome" not in shown[3] and all(city in shown[4] for city in cities[:4])
    assert all([*each.parents] == [rows[0].example_id] for each in settled)
    other = source("How are you?", [NOW], "Bern")
    _, settled = run(simple(shown_rows=9, prompts_at_most=1), [*rows, other], said[0])
    assert {*settled[0].parents} == {rows[0].example_id, other.example_id}
    _, settled = run(simple(rows=3), rows, *said[:4])
    assert [each.reason for each in settled] == ["simple"] * 3 + ["enough"]


def test_kinds_take_turns_and_show_as_many_tools_as_they_have() -> None:
    settings = APIGen(method="apigen", verify=VERIFY, prompts_at_most=8)
    asked, _ = run(settings, [SEED], *["x"] * 8)
    tools = [str(each.messages[0]["content"]).count('{"name": "') for each in asked]
    assert [n - 1 for n in tools] == [1, 2, 1, 2] * 2  # the example has a name too
    bounds = [form_of_calls(each)[1:] for each in asked[:4]]
    assert bounds == [(1, 1), (1, 1), (2, 3), (2, 3)]
    names, *_ = form_of_calls(asked[1])
    fits: dict[str, dict[str, str]] = {"now": {}, "weather": {"city": "Bonn"}}
    assert sorted(names) == ["now", "weather"]
    assert isinstance(asked[1].form, JsonForm)
    for name, arguments in fits.items():
        jsonschema.validate(json.loads(reply("?", (name, arguments))), asked[1].form.schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(reply("?", ("weather", {}))), asked[1].form.schema)
    alone, _ = run(settings, [source("Hm?", [NOW])], *["x"] * 8)
    assert all(str(each.messages[0]["content"]).count('{"name": "') == 1 for each in alone)


def form_of_calls(ask: Ask) -> tuple[list[str], int, int]:
    """The tools that a form names, and how many calls it has."""
    assert isinstance(ask.form, JsonForm)
    calls = ask.form.schema["properties"]["calls"]
    names = [each["properties"]["name"]["const"] for each in calls["items"]["anyOf"]]
    return names, calls["minItems"], calls["maxItems"]


def test_the_form_has_types_and_names_and_nothing_a_grammar_may_not_know() -> None:
    schema = {
        "type": "object",
        "properties": {
            "of": {"type": "array", "items": {"type": "string", "format": "odd"}, "not": {}},
            "unit": {"enum": ["C", "F"]},
        },
        "required": ["of", "nowhere"],
        "if": {},
    }
    assert shape_of(schema) == {
        "type": "object",
        "properties": {
            "of": {"type": "array", "items": {"type": "string"}},
            "unit": {"enum": ["C", "F"]},
        },
        "required": ["of"],
        "additionalProperties": False,
    }
