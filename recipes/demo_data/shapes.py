"""Write a dialogue in one of the shapes that instruction data comes in, and real calls of tools."""

import calendar
import json
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from recipes.demo_data.questions import Dialogue

Row: TypeAlias = Mapping[str, Any]


def json_line(row: object) -> bytes:
    """One line of JSON Lines, in UTF-8."""
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def as_messages(dialogue: Dialogue) -> Row:
    """OpenAI chat: `messages` with roles."""
    roles = ("user", "assistant") * (len(dialogue.turns) // 2)
    system = [{"role": "system", "content": dialogue.system}] if dialogue.system else []
    turns = zip(roles, dialogue.turns, strict=True)
    return {"messages": [*system, *({"role": role, "content": text} for role, text in turns)]}


def as_alpaca(dialogue: Dialogue) -> Row:
    """Alpaca: `instruction`, `input`, `output`; for one question and one answer."""
    instruction, output = dialogue.turns
    return {"instruction": instruction, "input": dialogue.context or "", "output": output}


def as_sharegpt(dialogue: Dialogue) -> Row:
    """ShareGPT: `conversations` of human and gpt; a system prompt has its own field."""
    speakers = ("human", "gpt") * (len(dialogue.turns) // 2)
    turns = zip(speakers, dialogue.turns, strict=True)
    row: dict[str, Any] = {"conversations": [{"from": who, "value": text} for who, text in turns]}
    return row | ({"system": dialogue.system} if dialogue.system else {})


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A question that one call of a function answers."""

    question: str
    function: Callable[..., object]
    description: str
    arguments: Mapping[str, int | list[int]]
    answer: str
    """With a place for the result, as in "It is {}."."""

    @property
    def name(self) -> str:
        """Name of the function, as the model calls it."""
        return self.function.__name__

    @property
    def result(self) -> str:
        """What the function really returns, as JSON."""
        return json.dumps(self.function(*self.arguments.values()))

    @property
    def reply(self) -> str:
        """The answer, with the result filled in."""
        return self.answer.format(self.result)

    @property
    def schema(self) -> Row:
        """The function as JSON schema, in the form of the OpenAI API."""
        numbers = {"type": "array", "items": {"type": "integer"}}
        properties = {
            name: numbers if isinstance(value, list) else {"type": "integer"}
            for name, value in self.arguments.items()
        }
        parameters = {"type": "object", "properties": properties, "required": list(properties)}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


COMB = "Number of ways to choose k items from n items without repetition and without order."
LEAP = "Return True for leap years, False for non-leap years."
TOOL_USES = (
    ToolUse(
        "In how many ways can I choose 2 of 5 books?",
        math.comb,
        COMB,
        {"n": 5, "k": 2},
        "You can choose 2 of 5 books in {} ways.",
    ),
    ToolUse(
        "Was 2024 a leap year?",
        calendar.isleap,
        LEAP,
        {"year": 2024},
        "The calendar says {}: 2024 was a leap year, so February had 29 days.",
    ),
    ToolUse(
        "What is the median of 3, 1, 4, 1 and 5?",
        statistics.median,
        "Return the median (middle value) of numeric data.",
        {"data": [3, 1, 4, 1, 5]},
        "The median is {}.",
    ),
    ToolUse(
        "Was 1900 a leap year?",
        calendar.isleap,
        LEAP,
        {"year": 1900},
        "The calendar says {}: 1900 was no leap year, for 400 does not divide it.",
    ),
    ToolUse(
        "How many different hands of 5 cards are there in a deck of 52?",
        math.comb,
        COMB,
        {"n": 52, "k": 5},
        "There are {} different hands.",
    ),
)


def tool_call(use: ToolUse, identifier: str = "call_1") -> Row:
    """A tool call as the OpenAI API writes it: the arguments are a JSON string."""
    function = {"name": use.name, "arguments": json.dumps(use.arguments)}
    return {"id": identifier, "type": "function", "function": function}


def tool_use_as_sharegpt(use: ToolUse) -> Row:
    """ShareGPT with function_call and observation; `tools` is a JSON string there."""
    call = json.dumps({"name": use.name, "arguments": use.arguments})
    turns = (
        ("human", use.question),
        ("function_call", call),
        ("observation", use.result),
        ("gpt", use.reply),
    )
    conversations = [{"from": who, "value": text} for who, text in turns]
    return {"conversations": conversations, "tools": json.dumps([use.schema["function"]])}
