"""A rendered conversation in a trainer's own columns, where it writes these as the template does.

LLaMA-Factory and ms-swift have columns for tools, calls and results. Where what they write of one
is, character for character, what the chat template wrote at its place, the row gives it in the
column. Everything else stands in the contents, as the template wrote it. Either way the trainer
writes the same pieces, and so makes the same tokens of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from pipeline.handoff.frames import cut_at_frames, cut_at_openings
from pipeline.handoff.native_templates import NativeTemplate
from pipeline.handoff.promises import PromisedRow
from pipeline.handoff.tool_texts import Call, ToolTexts
from scorers.measures.reading.chat_format import Tools
from storage.conversations import Message

Column: TypeAlias = Literal["tools", "calls", "results"]
"""What trainers have columns or roles for."""


@dataclass(frozen=True, slots=True)
class NativeTurn:
    """What is asked, and its answer."""

    opening: str
    """All that is written up to the answer, frames included."""
    answer: str
    """All that is written of it."""
    asked: str
    """What stands between the frames of the opening."""
    said: str
    """The answer without the calls that have a column."""
    results: Sequence[str] = ()
    """What is asked, where that is results in a column of their own."""
    calls: Sequence[Call] = ()
    """Those that have a column."""


@dataclass(frozen=True, slots=True)
class NativeText:
    """A conversation in a trainer's columns."""

    system: str | None
    """All that stands between the frames of the system prompt."""
    system_said: str | None
    """The same without the tools that have a column."""
    turns: Sequence[NativeTurn]
    tools: Tools = ()
    """Those that have a column."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What of it stands in columns of its own."""
        used: dict[Column, bool] = {
            "tools": bool(self.tools),
            "calls": any(turn.calls for turn in self.turns),
            "results": any(turn.results for turn in self.turns),
        }
        return tuple(column for column, is_used in used.items() if is_used)


def cut_into_contents(text: str, native: NativeTemplate) -> NativeText | None:
    """A text with everything in its contents; None if it has other frames."""
    cut = cut_at_frames(text, native.frames)
    if cut is None:
        return None
    turns = [
        NativeTurn(each.user.join(native.user), each.assistant, each.user, each.assistant)
        for each in cut.exchanges
    ]
    return NativeText(cut.system, cut.system, turns)


def cut_into_columns(
    row: PromisedRow, native: NativeTemplate, texts: ToolTexts
) -> NativeText | None:
    """A row with as much in columns as a trainer writes alike; None if its text has other frames.

    Args:
        row: as promised.
        native: the trainer's template.
        texts: what that writes of its columns.
    """
    told = _told_turns(row.messages)
    cut = _cut_at_results(row.text, native, texts, told) or cut_into_contents(row.text, native)
    if cut is None or len(cut.turns) != len(told):
        return cut
    turns = [
        _with_calls(turn, each.calls, texts) for turn, each in zip(cut.turns, told, strict=True)
    ]
    cut = replace(cut, turns=turns)
    written = texts.tools(row.tools) if texts.tools and row.tools else ""
    if not written or cut.system is None or not cut.system.endswith(written):
        return cut
    return replace(cut, system_said=cut.system.removesuffix(written), tools=row.tools)


class _ToldTurn(NamedTuple):
    """An answer as the messages have it."""

    results: int
    """How many results of tools it follows; 0 where a user asked something."""
    calls: Sequence[Call]


def _told_turns(messages: Sequence[Message]) -> list[_ToldTurn]:
    told = []
    before: list[str] = []
    for message in messages:
        if message["role"] != "assistant":
            before.append(message["role"])
            continue
        results = len(before) if set(before) == {"tool"} else 0
        told.append(_ToldTurn(results, message.get("tool_calls", ())))
        before = []
    return told


def _cut_at_results(
    text: str, native: NativeTemplate, texts: ToolTexts, told: Sequence[_ToldTurn]
) -> NativeText | None:
    """Cut where the messages have results; None if they have none, or the text has other frames."""
    if not any(each.results for each in told):
        return None
    frames = texts.results
    openings = [(frames.before, frames.behind) if each.results else native.user for each in told]
    cut = cut_at_openings(text, native.frames, openings)
    if cut is None:
        return None
    turns = []
    for exchange, opening, each in zip(cut.exchanges, openings, told, strict=True):
        results = exchange.user.split(frames.between) if each.results else []
        if len(results) != each.results:
            return None  # one has the text that stands between them
        turn = NativeTurn(
            exchange.user.join(opening),
            exchange.assistant,
            exchange.user,
            exchange.assistant,
            results,
        )
        turns.append(turn)
    return NativeText(cut.system, cut.system, turns)


def _with_calls(turn: NativeTurn, calls: Sequence[Call], texts: ToolTexts) -> NativeTurn:
    written = texts.calls(calls) if calls else None
    if written is None or not turn.answer.endswith(written):
        return turn
    return replace(turn, said=turn.answer.removesuffix(written), calls=calls)
