r"""APIGen: requests and the calls of tools that answer them, kept where the calls hold.

    keep (query, calls)  <=>  they are what was asked for, and every verifier of `verify` finds
                              nothing wrong with the calls

The tools are all that the rows have. A prompt shows some of them, drawn by a seeded hash, and
`shown_rows` requests with their calls: of the rows, and of those that were kept by then. It asks
for a new one of one of the `kinds`, in turn:

    simple             one tool is shown, and called once
    multiple           `tools_shown` tools, one of which is called once
    parallel           one tool, which is called at least twice
    parallel_multiple  `tools_shown` tools, of which there are at least two calls

With fewer than two tools those of several are passed over. A reply goes where it has another number
of calls (`other_kind`), a call twice (`call_twice`), or a request or calls that a row or a kept one
has already (`duplicate`). A row is the request, the tools that were shown, and the calls as the
trained turn. Its parents are the rows that its tools and examples are of; it stands beside them.

The three checks of the paper are the verifiers `tool_calls`, which looks at the format, and
`tool_results`, which runs the calls by stubs and has a judge look at what they give; in that order.

Liu et al. 2024, arXiv:2406.18518. Theirs samples from 3,673 tools, and adds rows whose request no
tool can answer; those are not made here.

For a set of tools that can be stood in for by functions, and a model better than the one trained.
Not for tools whose calls nobody can check: without `tool_results` what runs is not known. It costs
1 call for each request, and 1 of a judge for each whose calls ran, divided by the share that is
kept: the paper's models keep 34 to 84 %.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from pipeline.generation.json_replies import form_of, read_json_object
from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    side_by_side,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.verifiers.tool_calls import tool_of
from pipeline.generation.written_text import fault_of_wording
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import JsonForm
from scorers.words import split_words
from storage.conversations import Conversation, Message, canonical_json, content_hash
from storage.examples import Example

CallsKind = Literal["simple", "multiple", "parallel", "parallel_multiple"]

ASKED: Mapping[CallsKind, str] = {
    "simple": "It takes one call of the function.",
    "multiple": "It takes one call, of the function that fits.",
    "parallel": "It takes two or three calls of the function, each with other values.",
    "parallel_multiple": "It takes two or three calls, of several of the functions.",
}
"""What the prompt says of each kind."""

MOST_CALLS = 3
"""Of a request of several."""

PROMPT = "apigen_query"

TOGETHER_ASKED = 4
"""Prompts of one round: none of them shows what the others bring."""

Tool: TypeAlias = Mapping[str, Any]


class APIGen(VerifiedBlock, MakerBlock):
    """Requests with calls that hold: APIGen (arXiv:2406.18518)."""

    method: Literal["apigen"]
    rows: int = Field(default=100, gt=0, description="Rows that are wanted.")
    prompts_at_most: int = Field(
        default=300, gt=0, description="Prompts for requests, however few of them are kept."
    )
    kinds: tuple[CallsKind, ...] = Field(
        default=("simple", "multiple", "parallel", "parallel_multiple"),
        min_length=1,
        description="What is asked for, in turn.",
    )
    tools_shown: int = Field(default=3, ge=2, description="Tools of a prompt that shows several.")
    shown_rows: int = Field(default=2, ge=0, description="Requests with their calls in a prompt.")
    temperature: float = Field(default=0.7, ge=0, description="Of requests.")
    max_new_tokens: int = Field(default=256, gt=0, description="Of a request with its calls.")
    verify: tuple[Verifier, ...] = Field(
        min_length=1, description="What calls must be, in this order."
    )

    prompts: ClassVar[Sequence[str]] = (PROMPT,)

    @property
    def makes_of_whole(self) -> bool:
        """The tools of all rows are one set."""
        return True

    def takes(self, example: Example) -> bool:
        """Rows with tools about whose calls each verifier can tell something."""
        return bool(example.tools) and all(each.takes(example) for each in self.verify)

    def rows_each(self) -> int:
        """None comes of one alone."""
        return 0

    def rows_at_most(self, sources: int) -> int:
        """As many as are wanted."""
        return self.rows if sources else 0

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all rows together, if there are any."""
        return {WHOLE_POOL: make_by_apigen(self, sources, seed)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Prompts until there are rows enough; what judges are asked."""
        if not sources:
            return {}
        most = self.prompts_at_most
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(min(self.rows, most), most, self.max_new_tokens)
        }
        return self.with_verifying(own, most)


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A request with its calls."""

    query: str
    calls: Sequence[Mapping[str, Any]]
    """Each with its `name` and `arguments`."""

    @property
    def written(self) -> str:
        """As a prompt shows it."""
        return json.dumps({"query": self.query, "calls": self.calls}, ensure_ascii=False)

    @property
    def same(self) -> set[str]:
        """What no other may have: its words, and its calls in whatever order."""
        return {
            " ".join(split_words(self.query)),
            content_hash(sorted(map(canonical_text, self.calls))),
        }


def canonical_text(call: Mapping[str, Any]) -> str:
    """A call as a text that is the same whatever order its arguments have."""
    return canonical_json(call).decode()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a prompt shows, and asks for."""

    kind: CallsKind
    tools: Sequence[Tool]
    rows: Sequence[ToolRequest]
    parents: Sequence[str]


class ToolPool:
    """The tools and requests of the rows, and the requests that were kept."""

    def __init__(self, sources: Sequence[Example]) -> None:
        self.tools: dict[str, tuple[Tool, str]] = {}
        """Name → the tool as the first row by id has it, and that row."""
        self.shown: list[tuple[ToolRequest, Sequence[str]]] = []
        self.seen: set[str] = set()
        for source in sources:
            for tool in source.tools:
                self.tools.setdefault(str(tool_of(tool)["name"]), (tool, source.example_id))
            if (asked := request_of(source)) is not None:
                self.add(asked, [source.example_id])

    def add(self, asked: ToolRequest, of: Sequence[str]) -> None:
        """Show a request from now on, and let no other be the same."""
        self.shown.append((asked, of))
        self.seen |= asked.same

    def fault(self, asked: ToolRequest) -> str:
        """Whether a request, or its calls, are there already."""
        return "" if self.seen.isdisjoint(asked.same) else "duplicate"

    def draw(self, settings: APIGen, seed: int, number: int) -> Shown:
        """What the prompt of a number shows."""
        kinds = [kind for kind in settings.kinds if len(self.tools) > 1 or "multiple" not in kind]
        kind = (kinds or ["simple"])[number % len(kinds or ["simple"])]
        k = settings.tools_shown if "multiple" in kind else 1
        names = sorted(self.tools, key=lambda name: content_hash([seed, "tool", number, name]))[:k]
        rows = sorted(
            self.shown, key=lambda each: content_hash([seed, "row", number, each[0].written])
        )[: settings.shown_rows]
        parents = {self.tools[name][1] for name in names}
        parents |= {each for _, of in rows for each in of}
        tools = [self.tools[name][0] for name in names]
        return Shown(kind, tools, [asked for asked, _ in rows], sorted(parents))


def request_of(source: Example) -> ToolRequest | None:
    """The request of a row and the calls that answer it last; None where it has not one of both."""
    users = [turn for turn in source.messages if turn["role"] == "user"]
    calls = [turn["tool_calls"] for turn in source.messages if turn.get("tool_calls")]
    if len(users) != 1 or not calls:
        return None
    functions = [call["function"] for call in calls[-1]]
    return ToolRequest(
        str(users[0]["content"]),
        [{"name": each["name"], "arguments": each["arguments"]} for each in functions],
    )


def make_by_apigen(settings: APIGen, sources: Sequence[Example], seed: int) -> Making:
    """Ask for requests until enough are kept."""
    pool = ToolPool(sources)
    settled: list[Settled] = []
    asked = kept = 0
    while asked < settings.prompts_at_most and kept < settings.rows:
        numbers = range(asked, min(asked + TOGETHER_ASKED, settings.prompts_at_most))
        asked = numbers.stop
        shown = [pool.draw(settings, seed, number) for number in numbers]
        asks = [ask_tool_request(settings, *each) for each in zip(numbers, shown, strict=True)]
        replies = yield Wanted(asks, settled)
        told = yield from side_by_side(
            [
                read_tool_request(settings, pool, each, (ask, reply))
                for each, ask, reply in zip(shown, asks, replies, strict=True)
            ]
        )
        settled = []
        for each, (read, fault, places) in zip(shown, told, strict=True):
            if not fault and kept == settings.rows:
                fault = "enough"
            fault = fault or pool.fault(read)  # of the same round
            if fault:
                settled.append(Settled(places, None, fault, each.parents))
                continue
            kept += 1
            pool.add(read, each.parents)
            settled.append(Settled(places, row_of(read, each.tools), each.kind, each.parents))
    return settled


def ask_tool_request(settings: APIGen, number: int, shown: Shown) -> Ask:
    """A new request with its calls."""
    fields = {
        "tools": "\n".join(json.dumps(tool_of(tool), ensure_ascii=False) for tool in shown.tools),
        "shown": "\n".join(each.written for each in shown.rows) or "(none)",
        "asked": ASKED[shown.kind],
    }
    return Ask(
        "request",
        number,
        [{"role": "user", "content": fill_prompt(PROMPT, fields)}],
        settings.temperature,
        settings.max_new_tokens,
        form=form_of_kind(shown),
    )


def form_of_kind(shown: Shown) -> JsonForm:
    """The form of a reply: so many calls of the tools that are shown, with arguments they take."""
    calls = [
        form_of(
            {
                "name": {"const": tool_of(tool)["name"]},
                "arguments": shape_of(tool_of(tool).get("parameters") or {"type": "object"}),
            }
        ).schema
        for tool in shown.tools
    ]
    fewest, most = (2, MOST_CALLS) if "parallel" in shown.kind else (1, 1)
    return form_of_calls({"anyOf": calls}, fewest, most)


def form_of_calls(call: Mapping[str, Any], fewest: int, most: int) -> JsonForm:
    """The form of a request with so many calls of a schema."""
    calls = {"type": "array", "items": call, "minItems": fewest, "maxItems": most}
    return form_of({"query": {"type": "string"}, "calls": calls})


def shape_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The types and names of a schema, without what a grammar may not know: `verify` tells that."""
    shape = {key: schema[key] for key in ("type", "enum", "const") if key in schema}
    if isinstance(items := schema.get("items"), dict):
        shape["items"] = shape_of(items)
    if isinstance(fields := schema.get("properties"), dict):
        shape["properties"] = {name: shape_of(each) for name, each in fields.items()}
        shape["required"] = [name for name in schema.get("required", ()) if name in fields]
        shape["additionalProperties"] = False
    return shape


ANY_CALLS = form_of_calls(
    form_of({"name": {"type": "string"}, "arguments": {"type": "object"}}).schema, 1, MOST_CALLS
)
"""What a reply is read as, of whatever tools: what is wrong with a call is told by `verify`."""


def read_tool_request(
    settings: APIGen, pool: ToolPool, shown: Shown, asked: tuple[Ask, Sampled]
) -> Generator[Wanted, Sequence[Sampled], tuple[ToolRequest, str, list[CallPlace]]]:
    """The request in a reply, why it goes, and what it took to ask for it and to verify it."""
    ask, reply = asked
    found = read_json_object(reply, ANY_CALLS)
    if isinstance(found, Unread):
        return ToolRequest("", ()), found.reason, [ask.place]
    read = ToolRequest(found["query"].strip(), found["calls"])
    fault = fault_of_wording(read.query, settings.prompts)
    fault = fault or fault_of_kind(read, shown.kind) or pool.fault(read)
    if fault:
        return read, fault, [ask.place]
    row = Conversation([{"role": "user", "content": read.query}], shown.tools)
    source = Example(
        row.example_id,
        row.prompt_id,
        [*map(dict, row.messages)],
        [*map(dict, shown.tools)],
        None,
        read.query,
        "",
    )
    told = yield from verify_all(settings.verify, source, {ask.place: json.dumps(read.calls)})
    return read, told[ask.place].fault, [ask.place, *told[ask.place].asked]


def fault_of_kind(asked: ToolRequest, kind: CallsKind) -> str:
    """Why a request is none of its kind; "" where it is."""
    if len({*map(canonical_text, asked.calls)}) < len(asked.calls):
        return "call_twice"
    return "" if (len(asked.calls) > 1) == ("parallel" in kind) else "other_kind"


def row_of(asked: ToolRequest, tools: Sequence[Tool]) -> Conversation:
    """The request, and its calls as the answer."""
    calls = [
        {"id": f"call_{n}", "type": "function", "function": dict(call)}
        for n, call in enumerate(asked.calls, start=1)
    ]
    turns: list[Message] = [
        {"role": "user", "content": asked.query},
        {"role": "assistant", "content": "", "tool_calls": calls},
    ]
    return Conversation(turns, tools)
