"""Which tokens of a conversation are trained: of each turn, as inference would produce it.

Let H_t be the chat template's text of the messages before turn t with the assistant's header, which
is what the model reads at inference; P_t that of the messages up to t; F that of all. What is
trained of turn t is what stands in P_t behind H_t. It can be trained within F, and means the same
there, only where F begins with P_t, token for token:

    in_place       it does: all such turns are one row, which is read once
    stop_differs   it does up to the end of turn: gpt-oss ends only the last one with <|return|>
    rewritten      it does not: Qwen3 takes reasoning out of earlier turns

A turn that is not in place is a row of its own. What a template does is thus found out for each
conversation and never looked up: it depends on the row as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from scorers.measures.protocols import Message
from scorers.measures.reading.chat_format import (
    RenderedExample,
    RenderingError,
    Template,
    Tools,
    WrittenTurn,
    cut_turn,
    write_turns,
)
from scorers.measures.reading.text_tokens import TextTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_WRITTEN = 1 << 26
"""Characters of the texts of one conversation's trained turns, each behind all that stands before
it: a thousand turns in one of 64,000."""

TOO_MANY = (
    f"its trained turns, each with all that stands before it, are more than {MOST_WRITTEN:,} "
    "characters: split the conversation"
)

Placement = Literal["in_place", "stop_differs", "rewritten"]


@dataclass(frozen=True, slots=True)
class RenderedTurn:
    """One trained turn as token ids, as inference would read and produce it."""

    message: int
    """Its index in the conversation."""
    alone: RenderedExample
    placement: Placement
    weight: float
    """Of each of its tokens in the trainer's loss; above 0."""
    stop: int | None
    """Index of the token that ends it among its response tokens; None: nothing would teach the
    model to stop there."""

    @property
    def start(self) -> int:
        """Where its first token stands, in a row of its own or in one that it is in place in."""
        return len(self.alone.prompt)

    @property
    def end(self) -> int:
        """Where the first token behind it would stand."""
        return self.start + len(self.alone.response)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation, and which of its turns are trained."""

    messages: Sequence[Message]
    """Canonical form; nothing behind the last trained turn is read."""
    tools: Tools
    trained_at: Sequence[int]
    """Indices of the trained turns, ascending; at least one."""

    @property
    def characters(self) -> int:
        """About as many as the texts of its trained turns have, were each as long as the last."""
        read = self.messages[: self.trained_at[-1] + 1]
        return sum(len(each.get("content") or "") for each in read) * len(self.trained_at)


def render_turns(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Tools,
    trained_at: Sequence[int],
    template: Template,
) -> list[RenderedTurn]:
    """Tokenise each trained turn of one conversation behind what stands before it.

    Args:
        tokenizer: of the model that will read the ids.
        messages: canonical form.
        tools: JSON schemas.
        trained_at: indices of the trained turns, ascending; at least one.
        template: see Template.

    Raises:
        RenderingError: if one of them cannot be rendered; the message names it where there are
            several.
        ValueError: if the tokenizer has no chat template, or no end-of-text token.
    """
    (turns,) = render_dialogues(tokenizer, [Dialogue(messages, tools, trained_at)], template)
    if isinstance(turns, RenderingError):
        raise turns
    return turns


def render_dialogues(
    tokenizer: PreTrainedTokenizerBase,
    dialogues: Sequence[Dialogue],
    template: Template,
    *,
    headers: bool = True,
) -> list[list[RenderedTurn] | RenderingError]:
    """Tokenise the trained turns of many conversations, each text once and all of them together.

    Args:
        tokenizer: of the model that will read the ids.
        dialogues: conversations, with the turns that are trained.
        template: see Template.
        headers: whether each turn's header is wanted; see write_turns.

    Returns:
        For each conversation its turns, or why it cannot be rendered.

    Raises:
        ValueError: if the tokenizer has no chat template, or no end-of-text token.
    """
    written = write_dialogues(tokenizer, dialogues, template, headers=headers)
    tokens = TextTokens(tokenizer, add_special_tokens=template != "chat")
    texts = [each for each in written if not isinstance(each, RenderingError)]
    tokens.read(turns[-1].full for turns in texts)
    tokens.read(text for turns in texts for text in unknown_texts(tokens, turns))
    return [
        each if isinstance(each, RenderingError) else cut_dialogue(tokens, each, dialogue)
        for each, dialogue in zip(written, dialogues, strict=True)
    ]


def write_dialogues(
    tokenizer: PreTrainedTokenizerBase,
    dialogues: Sequence[Dialogue],
    template: Template,
    *,
    headers: bool,
) -> list[list[WrittenTurn] | RenderingError]:
    """The texts of the trained turns of each conversation, or why there are none."""
    alike: dict[str, list[int]] = {}  # conversations that have the same tools
    found: list[list[WrittenTurn] | RenderingError] = [[] for _ in dialogues]
    for index, dialogue in enumerate(dialogues):
        if len(dialogue.trained_at) > 1 and dialogue.characters > MOST_WRITTEN:
            found[index] = RenderingError(TOO_MANY)
        else:
            alike.setdefault(json.dumps(dialogue.tools), []).append(index)
    for indices in alike.values():
        owners = [(index, at) for index in indices for at in dialogues[index].trained_at]
        asked = [(dialogues[index].messages, at) for index, at in owners]
        tools = dialogues[indices[0]].tools
        texts = write_turns(tokenizer, asked, tools, template, headers=headers)
        for (index, _), text in zip(owners, texts, strict=True):
            turns = found[index]
            if isinstance(text, RenderingError):
                found[index] = text if isinstance(turns, list) else turns  # the first that fails
            elif isinstance(turns, list):
                turns.append(text)
    return found


def unknown_texts(tokens: TextTokens, turns: Sequence[WrittenTurn]) -> list[str]:
    """The texts of a conversation whose ids do not follow from those of the whole of it."""
    whole = turns[-1].full
    return [
        text
        for turn in turns
        for text in (turn.full, turn.with_header, turn.without_header)
        if tokens.beginning(whole, text) is None
    ]


def cut_dialogue(
    tokens: TextTokens, turns: Sequence[WrittenTurn], dialogue: Dialogue
) -> list[RenderedTurn] | RenderingError:
    """The trained turns of a conversation, cut out of its tokens, or why they cannot be."""
    whole = turns[-1].full
    try:
        alone = [cut_turn(tokens, turn, whole) for turn in turns]
    except RenderingError as error:
        return error
    return [
        RenderedTurn(
            message=at,
            alone=row,
            placement=place_turn(row, tokens.ids(whole, whole), tokens.special),
            weight=weight_of(dialogue.messages[at]),
            stop=find_stop(tokens.tokenizer, row.response, tokens.special),
        )
        for at, row in zip(dialogue.trained_at, alone, strict=True)
    ]


def find_stop(
    tokenizer: PreTrainedTokenizerBase, response: Sequence[int], special: frozenset[int]
) -> int | None:
    """Index of the control token that a response ends with, but for blanks behind it."""
    for index in range(len(response) - 1, -1, -1):
        if response[index] in special:
            return index
        if not is_blank_token(tokenizer, response[index]):
            return None
    return None


@lru_cache(maxsize=1024)  # most rows end on the same few
def is_blank_token(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    """Whether a token is nothing but blanks."""
    return not str(tokenizer.decode([token])).strip()


def place_turn(row: RenderedExample, whole: Sequence[int], special: frozenset[int]) -> Placement:
    """Whether a turn stands in the whole conversation as it does in a row of its own."""
    ids = [*row.prompt, *row.response]
    if whole[: len(ids)] == ids:
        return "in_place"
    end = len(ids)
    while end > len(row.prompt) and ids[end - 1] in special:
        end -= 1
    return "stop_differs" if end < len(ids) and whole[:end] == ids[:end] else "rewritten"


def weight_of(message: Mapping[str, object]) -> float:
    """What each token of an assistant turn counts in the loss."""
    weight = message.get("weight", 1.0)
    assert isinstance(weight, int | float)
    return float(weight)


def join_turns(turns: Sequence[RenderedTurn]) -> list[RenderedExample]:
    """The rows that a trainer reads: turns in place as one, each other turn by itself.

    The joined row is the last one, for the last turn is always in place: the conversation ends with
    it.
    """
    return [join_group(group) for group in group_turns(turns)]


def group_turns(turns: Sequence[RenderedTurn]) -> list[list[RenderedTurn]]:
    """The turns of each row that `join_turns` gives, in its order."""
    apart = [[turn] for turn in turns if turn.placement != "in_place"]
    return [*apart, [turn for turn in turns if turn.placement == "in_place"]]


def join_group(joined: Sequence[RenderedTurn]) -> RenderedExample:
    """Turns in place as one row; or one turn, wherever it is, as a row of its own."""
    first, last = joined[0], joined[-1]
    if first is last:
        return weighted(first)
    ids = [*last.alone.prompt, *last.alone.response]
    weights = [0.0] * (len(ids) - first.start)
    for turn in joined:
        # Behind the first turn's start, where the joined response begins.
        weights[turn.start - first.start : turn.end - first.start] = [turn.weight] * len(
            turn.alone.response
        )
    return RenderedExample(first.alone.prompt, first.alone.header, ids[first.start :], weights)


def weighted(turn: RenderedTurn) -> RenderedExample:
    """A turn as a row of its own."""
    if turn.weight == 1:
        return turn.alone
    weights = [turn.weight] * len(turn.alone.response)
    return RenderedExample(turn.alone.prompt, turn.alone.header, turn.alone.response, weights)
