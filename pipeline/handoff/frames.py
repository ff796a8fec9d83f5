"""A rendered conversation, cut at what a template writes between its messages.

LLaMA-Factory and ms-swift write conversations by templates of their own, and readers of plain
columns know of a message its role and its content alone. A row with tools, calls or reasoning
survives both where the text that the chat template makes of them stands in the contents: between
the same frames the trainer then writes the same text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scorers.measures.reading.chat_format import RenderingError, render_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYSTEM, FIRST, SECOND = "Mark\u2460", "Mark\u2461", "Mark\u2462"
ANSWER, LAST = "Mark\u2463", "Mark\u2464"
"""Contents that no template has a text of its own for."""


@dataclass(frozen=True, slots=True)
class Frames:
    """What is written around the contents of messages that take turns."""

    system_open: str | None
    """From the beginning to a system prompt; None where there is no frame for one."""
    system_to_user: str
    """From the system prompt to the first user message."""
    user_open: str
    """From the beginning to a user message, where no system prompt is."""
    user_to_assistant: str
    assistant_to_user: str
    close: str
    """Behind the last assistant message."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user message and its answer, each as it stands between its frames."""

    user: str
    assistant: str


@dataclass(frozen=True, slots=True)
class CutText:
    """A conversation as the contents between frames."""

    system: str | None
    exchanges: Sequence[Exchange]


def cut_at_frames(text: str, frames: Frames) -> CutText | None:
    """Cut a rendered conversation that ends with an answer; None if it has other frames."""
    beginning = _cut_beginning(text, frames)
    if beginning is None:
        return None
    system, rest = beginning
    exchanges = []
    while True:
        user, mark, rest = rest.partition(frames.user_to_assistant)
        if not mark:
            return None
        assistant, mark, following = rest.partition(frames.assistant_to_user)
        if not mark:
            if not rest.endswith(frames.close):
                return None
            exchanges.append(Exchange(user, rest.removesuffix(frames.close)))
            return CutText(system, exchanges)
        exchanges.append(Exchange(user, assistant))
        rest = following


def cut_at_openings(
    text: str, frames: Frames, openings: Sequence[tuple[str, str]]
) -> CutText | None:
    """Cut a rendered conversation whose turns are known; None if it has other frames.

    Args:
        text: the conversation; it ends with an answer.
        frames: of its beginning, and behind its answers.
        openings: what is written before and behind what is asked, of each turn; the first a user's.
    """
    beginning = _cut_beginning(text, frames)
    if beginning is None:
        return None
    system, rest = beginning
    exchanges = []
    for (_, behind), (before, _) in pairwise(openings):
        asked, mark, rest = rest.partition(behind)
        if not mark:
            return None
        answer, _, rest = rest.partition(frames.close + before)  # not there: nothing is left
        exchanges.append(Exchange(asked, answer))
    asked, mark, answer = rest.partition(openings[-1][1])
    if not mark or not answer.endswith(frames.close):
        return None
    return CutText(system, [*exchanges, Exchange(asked, answer.removesuffix(frames.close))])


def _cut_beginning(text: str, frames: Frames) -> tuple[str | None, str] | None:
    """The system prompt, and what follows the opening of the first user message."""
    if frames.system_open is not None and text.startswith(frames.system_open):
        system, mark, rest = text[len(frames.system_open) :].partition(frames.system_to_user)
        return (system, rest) if mark else None
    if not text.startswith(frames.user_open):
        return None
    return None, text[len(frames.user_open) :]


def frames_of(tokenizer: "PreTrainedTokenizerBase") -> Frames | None:
    """The frames of a chat template, found by rendering; None if it has no such frames."""
    exchange = [("user", FIRST), ("assistant", ANSWER), ("user", SECOND), ("assistant", LAST)]
    try:
        bare = _render(tokenizer, exchange)
        header = _render(tokenizer, exchange[:1], header=True)
    except RenderingError:
        return None
    user_open, _, user_to_assistant = header.partition(FIRST)
    _, _, behind_answer = bare.partition(ANSWER)
    assistant_to_user, _, _ = behind_answer.partition(SECOND)
    _, _, close = bare.partition(LAST)
    try:
        full = _render(tokenizer, [("system", SYSTEM), *exchange])
    except RenderingError:
        full = ""
    system_open, mark, behind = full.partition(SYSTEM)
    system_to_user, _, _ = behind.partition(FIRST)
    own = mark and system_open != user_open  # else it stands within the user's frame
    return Frames(
        system_open=system_open if own else None,
        system_to_user=system_to_user if own else "",
        user_open=user_open,
        user_to_assistant=user_to_assistant,
        assistant_to_user=assistant_to_user,
        close=close,
    )


def _render(
    tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]], *, header: bool = False
) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    return render_text(tokenizer, messages, (), header=header)
