"""What a handoff asks of each trainer: how it holds a row, and the files that start it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import pyarrow as pa

from pipeline.handoff.frames import Frames, frames_of
from pipeline.handoff.native_columns import (
    Column,
    NativeText,
    cut_into_columns,
    cut_into_contents,
)
from pipeline.handoff.native_templates import NativeTemplate, native_template
from pipeline.handoff.prediction import TrainedRow, UnheldRowError
from pipeline.handoff.promises import PromisedRow
from scorers.measures.reading.dialogue import find_stop
from scorers.measures.reading.text_tokens import special_ids
from storage.exports_manifest import ExportManifest, Split, SplitCounts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Form: TypeAlias = Literal["conversations", "tokens"]
"""conversations: messages, which the trainer renders and masks. tokens: ids and labels, ready."""

Masks: TypeAlias = Literal["each", "all_or_last", "last", "all"]
"""Which assistant turns of a row a trainer can be told to train: each by a flag of its own; all of
every row or the last of every row; the last of every row; all of every row."""

TOKENIZER_FOLDER = "tokenizer"
"""The tokenizer of a handoff, with the chat template that its tokens were counted in."""


class TokenPlaces(NamedTuple):
    """The tokens of a text, and the characters that each is of."""

    ids: list[int]
    spans: list[tuple[int, int]]
    """First character, and first behind."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom the rows are for, and how they are masked."""

    tokenizer: "PreTrainedTokenizerBase"
    last_only: bool
    """Whether of every row the last assistant turn alone is trained."""
    frames: Frames | None
    """Of the chat template; None where it writes messages in no frames."""
    native: NativeTemplate | None
    """The template of some trainers' own that has the same; None where there is none."""
    adds_tokens: bool
    """Whether the tokenizer puts a token of its own before or behind a text."""

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, nothing added."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def cut_natively(
        self, row: PromisedRow, trainer: str, called: str, *, columns: bool
    ) -> tuple[NativeTemplate, NativeText]:
        """A trainer's own template for a row, and the row's text in its columns.

        Args:
            row: as promised.
            trainer: as templates name it.
            called: its name in the message.
            columns: whether what has a column of its own may stand there; else all is contents.

        Raises:
            UnheldRowError: if no template of its own writes the text.
        """
        native = self.native
        if native is not None and trainer in native.names:
            texts = native.tool_texts.get(trainer) if columns else None
            cut = (
                cut_into_contents(row.text, native)
                if texts is None
                else cut_into_columns(row, native, texts)
            )
            if cut is not None:
                return native, cut
        raise UnheldRowError(f"no template of {called}'s writes what the chat template does")

    def places(self, text: str) -> "TokenPlaces":
        """The tokens of a text and where each stands.

        Raises:
            UnheldRowError: if the tokenizer does not tell.
        """
        if not self.tokenizer.is_fast:
            raise UnheldRowError("the tokenizer does not tell where in a text its tokens stand")
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return TokenPlaces(found["input_ids"], found["offset_mapping"])

    def stop_token(self, row: PromisedRow) -> str | None:
        """The end-of-turn token of a row's last turn; None where it has none."""
        ids = row.input_ids[row.turns[-1].start : row.turns[-1].end].tolist()
        stop = find_stop(self.tokenizer, ids, special_ids(self.tokenizer))
        return None if stop is None else str(self.tokenizer.convert_ids_to_tokens(ids[stop]))


def make_target(tokenizer: "PreTrainedTokenizerBase", *, last_only: bool) -> Target:
    """A target, with what its chat template writes between messages found out."""
    alone, added = (tokenizer("a", add_special_tokens=add)["input_ids"] for add in (False, True))
    return Target(
        tokenizer=tokenizer,
        last_only=last_only,
        frames=frames_of(tokenizer),
        native=native_template(tokenizer),
        adds_tokens=alone != added,
    )


class HeldRow(NamedTuple):
    """A row in a trainer's dialect, and what it will make of it."""

    line: Mapping[str, Any]
    trained: TrainedRow
    columns: tuple[Column, ...] | None = None
    """What stands in columns of its own, of a trainer that may have it in the contents; else
    None."""


class Dialect(Protocol):
    """How a trainer is given rows; made for one export."""

    @property
    def schema(self) -> pa.Schema | None:
        """Of its Parquet files; None: it reads JSON lines."""

    @property
    def command(self) -> str:
        """What starts the training, run in the folder."""

    def hold(self, row: PromisedRow) -> HeldRow:
        """Write a row, and say what the trainer will make of it.

        Raises:
            UnheldRowError: if it cannot hold it.
        """

    def configure(self, facts: "HandoffFacts") -> Mapping[str, str]:
        """The files that start a training, by their names in the folder."""


class DialectOf(NamedTuple):
    """A dialect of a trainer: how it masks, and what makes it for a target."""

    masks: Masks
    make: Callable[[Target], Dialect]


@dataclass(frozen=True, slots=True)
class Trainer:
    """A trainer that exports are handed to."""

    name: str
    """What `--to` calls it."""
    distribution: str
    """What it is called on the Python package index."""
    version: str
    """That its rules were read of and tried with."""
    packages: Sequence[str]
    """Distributions with versions that its data code runs on without a GPU, installed without what
    they ask for themselves; the rest, torch above all, is what is installed here."""
    forms: Mapping[Form, DialectOf]
    """Its dialects, the usual one first."""
    found: Literal["index", "here", "checkout"] = "index"
    """Where its own code comes from: among the packages, from what is installed here, or from a
    checkout, for it is on no index."""
    caution: str = ""
    """What its user should know beside that, a sentence or two."""


@dataclass(frozen=True, slots=True)
class HandoffFacts:
    """What configuration files say of an export."""

    manifest: ExportManifest
    model: str
    """Folder or name of the model that is trained."""
    model_type: str | None
    """What its configuration calls its kind; None where it does not say."""
    counts: Mapping[Split, SplitCounts]
    """Rows and tokens of each split that are handed over; a split without rows is left out."""
    longest: int
    """Tokens of the longest row."""
    stop_tokens: Sequence[str]
    """The tokens that end trained turns, the most frequent first."""
    last_only: bool
    """As Target has it."""
    suffix: str
    """Of the data files: `.jsonl` or `.parquet`."""

    @property
    def max_length(self) -> int:
        """Tokens that a row may have: the export's limit, else as many as its longest row has."""
        return self.manifest.max_length or self.longest

    def file(self, split: Split) -> str:
        """Path of a split's data file in the folder."""
        return f"data/{split}{self.suffix}"


def require_whole_weights(row: PromisedRow) -> None:
    """Raise UnheldRowError if a turn counts otherwise than fully; 0 is a turn that is read only."""
    other = sorted({turn.weight for turn in row.turns if turn.weight != 1})
    if other:
        raise UnheldRowError(
            f"its tokens count {', '.join(f'{weight:g}' for weight in other)} in the loss, and "
            "the trainer counts every trained token fully; `sluice run` trains with weights"
        )


def label_spans(ids: Sequence[int], spans: Iterable[tuple[int, int]], ignored: int) -> list[int]:
    """Labels: ids within spans of tokens, `ignored` elsewhere."""
    labels = [ignored] * len(ids)
    for start, end in spans:
        labels[start:end] = ids[start:end]
    return labels
