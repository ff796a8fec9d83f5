"""Lines as they are found in real files: broken ones, and unusual ones that are sound.

Each is made from a real row of its own, so that what a reader keeps of it can be checked.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from recipes.demo_data.questions import SYSTEM_PROMPTS, Dialogue
from recipes.demo_data.shapes import TOOL_USES, Row, as_messages, as_sharegpt, json_line, tool_call

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HELLO = {"role": "user", "content": "Hello!"}
GREETING = {"role": "assistant", "content": "Hello! What do you want to know about Python?"}
THANKS = {"role": "user", "content": "Thank you, that is all I need."}
DEVELOPER = {"role": "developer", "content": "Answer in the words of the documentation."}
THOUGHT = "The documentation says this plainly."


@dataclass(frozen=True, slots=True)
class OddLine:
    """One line of the file, byte for byte."""

    kind: str
    survives: bool
    """Whether a careful reader keeps it; if not, the reader must say why."""
    content: bytes
    """With its line break."""


def _question(one: Dialogue) -> Row:
    return {"role": "user", "content": one.turns[0]}


def _asked(one: Dialogue) -> Row:
    """A question for a small model: it rambles unless told not to."""
    return {"role": "user", "content": f"{one.turns[0]} Answer in one short sentence."}


def _answer(one: Dialogue) -> Row:
    return {"role": "assistant", "content": one.turns[1]}


def _messages(*messages: Row) -> bytes:
    return json_line({"messages": messages})


def _line(one: Dialogue) -> bytes:
    return json_line(as_messages(one))


def _truncated(one: Dialogue) -> bytes:
    line = _line(one)
    return line[: len(line) * 2 // 3] + b"\n"


def _with_messages_twice(one: Dialogue) -> bytes:
    """Readers differ on which one counts."""
    first, second = json.dumps({"messages": [HELLO, GREETING]}), _line(one).decode()
    return f"{first[:-1]}, {second[1:]}".encode()


def _tool_without_call(one: Dialogue) -> bytes:
    tool = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
    return _messages(_question(one), tool, _answer(one))


BROKEN: Mapping[str, Callable[[Dialogue], bytes]] = {
    "truncated line": _truncated,
    "truncated inside a character": lambda one: _line(one)[:40] + "é".encode()[:1] + b"\n",
    "NUL byte": lambda one: _line(one).replace(b" ", b"\x00", 3),
    "invalid UTF-8": lambda one: _line(one).replace(b"e", b"\xe9", 1),
    "duplicate keys": _with_messages_twice,
    "NaN value": lambda one: _line(one).replace(b"{", b'{"score": NaN, ', 1),
    "two objects on a line": lambda one: _line(one).rstrip() + b" " + _messages(HELLO, GREETING),
    "array line": lambda one: json_line([_question(one), _answer(one)]),
    "lone surrogate": lambda one: _line(one).replace(b'"}]}', b' \\ud83d"}]}'),
    "empty response": lambda one: _messages(_question(one), {**_answer(one), "content": ""}),
    "blank response": lambda one: _messages(_question(one), {**_answer(one), "content": " \n"}),
    "tool without call": _tool_without_call,
    "answer alone": lambda one: _messages(_answer(one)),
    "unknown keys": lambda one: json_line({"frage": one.turns[0], "antwort": one.turns[1]}),
    "unknown role": lambda one: _messages(_question(one), {**_answer(one), "role": "narrator"}),
    "plain text row": lambda one: json_line({"text": one.turns[1]}),
    "not JSON": lambda one: one.turns[1].split("\n")[0].encode() + b"\n",
    "null": lambda one: b"null\n",
}
"""Lines that no reader should take: what they mean cannot be known, or they teach nothing."""


def _with_parts(one: Dialogue) -> bytes:
    parts = [{"type": "text", "text": one.turns[0]}]
    return _messages({**_question(one), "content": parts}, _answer(one))


def _chatml(one: Dialogue) -> bytes:
    turns = zip(("user", "assistant"), one.turns, strict=True)
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    return json_line({"text": text})


def _with_think_tags(one: Dialogue) -> bytes:
    content = f"<think>\n{THOUGHT}\n</think>\n\n{one.turns[1]}"
    return _messages(_question(one), {**_answer(one), "content": content})


def _with_history(one: Dialogue) -> bytes:
    history = [[HELLO["content"], GREETING["content"]]]
    row = {"instruction": one.turns[0], "input": "", "output": one.turns[1], "history": history}
    return json_line(row)


def _with_extra_keys(one: Dialogue) -> bytes:
    with_system = replace(one, system=SYSTEM_PROMPTS[0])
    return json_line({**as_sharegpt(with_system), "id": "stdlib-1", "source": "python"})


def _prompt_completion_messages(one: Dialogue) -> bytes:
    return json_line({"prompt": [_question(one)], "completion": [_answer(one)]})


UNUSUAL: Mapping[str, Callable[[Dialogue], bytes]] = {
    "byte order mark": lambda one: BYTE_ORDER_MARK + _line(one),
    "developer role": lambda one: _messages(DEVELOPER, _question(one), _answer(one)),
    "content parts": _with_parts,
    "ends with user": lambda one: _messages(_question(one), _answer(one), THANKS),
    "ChatML text": _chatml,
    "prompt and completion": lambda one: json_line(
        {"prompt": one.turns[0], "completion": one.turns[1]}
    ),
    "prompt and completion messages": _prompt_completion_messages,
    "input and output": lambda one: json_line({"input": one.turns[0], "output": one.turns[1]}),
    "reasoning_content": lambda one: _messages(
        _question(one), {**_answer(one), "reasoning_content": THOUGHT}
    ),
    "think tags": _with_think_tags,
    "weight 0": lambda one: _messages(
        HELLO, {**GREETING, "weight": 0}, _question(one), _answer(one)
    ),
    "Alpaca with history": _with_history,
    "CRLF line break": lambda one: _line(one).replace(b"\n", b"\r\n"),
    "extra keys": _with_extra_keys,
} | {f"prompt only {number}": lambda one: _messages(_asked(one)) for number in range(1, 7)}
"""Sound lines in shapes that tools often refuse. A prompt without an answer is work for a model
that generates; the byte order mark must be the first line of the file."""


def tool_lines() -> list[OddLine]:
    """Tool calls whose content is null, and whose content is missing."""
    lines = []
    contents: tuple[dict[str, object], ...] = ({"content": None}, {})
    for kind, use, content in zip(("null", "missing"), TOOL_USES[3:], contents, strict=True):
        call = {"role": "assistant", **content, "tool_calls": [tool_call(use)]}
        result = {"role": "tool", "tool_call_id": "call_1", "content": use.result}
        question = {"role": "user", "content": use.question}
        reply = {"role": "assistant", "content": use.reply}
        row = {"messages": [question, call, result, reply], "tools": [use.schema]}
        lines.append(OddLine(f"{kind} content with tool_calls", True, json_line(row)))
    return lines


ODD_DIALOGUES = len(BROKEN) + len(UNUSUAL)
"""Dialogues that odd_lines takes, one for each line but those with tools."""
ODD_ROWS = ODD_DIALOGUES + 2
"""Lines that it gives, blank ones not counted."""


def odd_lines(dialogues: Sequence[Dialogue]) -> list[OddLine]:
    """All odd lines, sound and broken ones in turn, and two blank ones.

    Args:
        dialogues: ODD_DIALOGUES of one question and one answer.
    """
    remaining = iter(dialogues)
    sound = [OddLine(kind, True, write(next(remaining))) for kind, write in UNUSUAL.items()]
    sound += tool_lines()
    broken = [OddLine(kind, False, write(next(remaining))) for kind, write in BROKEN.items()]
    blank = OddLine("blank", survives=False, content=b"\n")
    lines = []
    for number in range(max(len(broken), len(sound))):
        lines += [*sound[number : number + 1], *broken[number : number + 1]]
        lines += [blank] if number in (4, 9) else []
    return lines
