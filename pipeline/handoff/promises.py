"""What an export promises of each row that a trainer is to read: its text, its ids, its labels.

An export has a row for each trained turn. Turns that the template writes alike whatever follows
them can be trained within one row (see scorers/measures/reading/dialogue.py); where a trainer takes
a flag for each turn they are joined here, and read once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.export.reading import read_exported_rows
from scorers.measures.reading.chat_format import Tools, render_text
from scorers.measures.reading.dialogue import RenderedTurn, group_turns, render_turns
from storage.conversations import Message
from storage.exports_manifest import IGNORED, ExportManifest, Split, example_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class PromisedTurn:
    """A trained turn of a promised row."""

    message: int
    """Its index in the conversation."""
    start: int
    """Index of its first token."""
    stop: int
    """Index of the first token behind its end-of-turn token: but for blanks it ends there."""
    end: int
    """Index of the first token behind it."""
    weight: float
    """What each of its tokens counts in the loss; above 0."""


@dataclass(frozen=True, slots=True)
class PromisedRow:
    """A row as the model is to be trained on it."""

    row_id: str
    """As the export calls it; of several turns, the example's own id."""
    split: Split
    messages: Sequence[Message]
    """Canonical form, up to the last trained turn."""
    tools: Tools
    turns: Sequence[PromisedTurn]
    """Ascending; at least one."""
    text: str
    """What the chat template writes of it."""
    input_ids: NDArray[np.int32]
    """(tokens,)"""

    @property
    def labels(self) -> NDArray[np.int32]:
        """(tokens,) the id where the loss is taken, IGNORED elsewhere."""
        labels = np.full(len(self.input_ids), IGNORED, dtype=np.int32)
        for turn in self.turns:
            labels[turn.start : turn.end] = self.input_ids[turn.start : turn.end]
        return labels

    @property
    def last_alone(self) -> bool:
        """Whether of its assistant turns none but the last is trained."""
        return len(self.turns) == 1

    @property
    def all_trained(self) -> bool:
        """Whether each of its assistant turns is trained."""
        roles = [message["role"] for message in self.messages]
        return roles.count("assistant") == len(self.turns)


def read_promises(
    export: Path,
    manifest: ExportManifest,
    split: Split,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    joined: bool,
) -> Iterator[PromisedRow]:
    """The rows of a split, in the export's order.

    Args:
        export: an export's folder.
        manifest: of it.
        split: one that it has.
        tokenizer: that its tokens were counted with.
        joined: whether turns that can be are trained within one row; else each is its own.

    Raises:
        ValueError: if a row has other tokens than the export says; the tokenizer is another one.
    """
    for _, turns in groupby(
        read_exported_rows(export, manifest, split), key=lambda row: row["rank"]
    ):
        yield from promise_rows(list(turns), split, tokenizer, joined=joined)


def promise_rows(
    rows: Sequence[dict[str, Any]],
    split: Split,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    joined: bool,
) -> list[PromisedRow]:
    """What is promised of one example: its trained turns, a row of the export for each."""
    last = rows[-1]
    messages, tools = [*last["prompt"], *last["completion"]], last["tools"] or ()
    by_turn = {len(row["prompt"]): row for row in rows}
    turns = render_turns(tokenizer, messages, tools, list(by_turn), "chat")
    for turn in turns:
        counted = (len(turn.alone.prompt), len(turn.alone.response))
        row = by_turn[turn.message]
        if counted != (row["prompt_tokens"], row["loss_tokens"]):
            raise ValueError(
                f"{row['example_id']}: {counted[0]} prompt and {counted[1]} loss tokens, the "
                f"export says {row['prompt_tokens']} and {row['loss_tokens']}: the tokenizer or "
                "its chat template is not the one that was counted with"
            )
    groups = group_turns(turns) if joined else [[turn] for turn in turns]
    return [
        PromisedRow(
            row_id=row_id_of([by_turn[turn.message]["example_id"] for turn in group]),
            split=split,
            messages=messages[: group[-1].message + 1],
            tools=tools,
            turns=[promise_turn(turn, by_turn[turn.message]["weight"]) for turn in group],
            text=render_text(tokenizer, messages[: group[-1].message + 1], tools),
            input_ids=np.array([*group[-1].alone.prompt, *group[-1].alone.response], np.int32),
        )
        for group in groups
    ]


def row_id_of(row_ids: Sequence[str]) -> str:
    """What a row of these rows of an export is called."""
    return row_ids[0] if len(row_ids) == 1 else example_of(row_ids[0])


def promise_turn(turn: RenderedTurn, weight: float) -> PromisedTurn:
    """Where a turn stands in a row that it is in place in."""
    stop = turn.end if turn.stop is None else turn.start + turn.stop + 1
    return PromisedTurn(turn.message, turn.start, stop, turn.end, weight)
