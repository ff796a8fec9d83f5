"""Read evaluation sets as items of prompt and answer. They are only ever opened for reading.

A row that gives no item is listed with its reason; none is passed over without a word.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.contamination.report import Unchecked
from pipeline.contamination.settings import EvaluationSettings
from pipeline.contamination.texts import Item
from pipeline.ingest.readers import HUB_PREFIX, UnreadableRow, read_rows, source_fingerprint
from pipeline.ingest.rows import RawRow, UnreadableSourceError
from pipeline.ingest.shapes import UnreadableRowError, read_conversation
from storage.conversations import Conversation, message_text


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation set, a file each."""

    name: str
    path: str
    content_hash: str
    items: Sequence[Item]
    unreadable: Sequence[Unchecked]

    @property
    def rows(self) -> int:
        """All its rows, those included that give no item."""
        return len(self.items) + len(self.unreadable)


def read_evaluations(settings: Sequence[EvaluationSettings]) -> list[Evaluation]:
    """Read every file of every set, in the order given.

    Raises:
        UnreadableSourceError: if there is nothing at a path, a file cannot be read, no row of it
            gives an item, or two sets have one name.
    """
    evaluations: list[Evaluation] = []
    for block in settings:
        files = block.source.files()
        if not files:
            raise UnreadableSourceError(f"there is nothing at {block.path}")
        for file in files:
            taken = {each.name for each in evaluations}
            name = evaluation_name(block, file, alone=len(files) == 1)
            if name in taken and block.name is None:  # test.jsonl of two folders
                name = file
            if name in taken:
                raise UnreadableSourceError(
                    f"two evaluation sets are called {name!r}: give one a `name` of its own"
                )
            evaluations.append(read_evaluation(block, file, name, len(evaluations)))
    return evaluations


def evaluation_name(settings: EvaluationSettings, file: str, *, alone: bool) -> str:
    """What hits call a file of a set."""
    stem = file if file.startswith(HUB_PREFIX) else Path(file).name.partition(".")[0]
    if settings.name is None:
        return stem
    return settings.name if alone else f"{settings.name}/{stem}"


def read_evaluation(settings: EvaluationSettings, file: str, name: str, number: int) -> Evaluation:
    """Read one file of a set.

    Raises:
        UnreadableSourceError: if it cannot be read, or no row of it gives an item.
    """
    items: list[Item] = []
    unreadable: list[Unchecked] = []
    keys: set[str] = set()
    for row in read_rows(file, settings.format):
        if isinstance(row, UnreadableRow):
            unreadable.append(Unchecked(name, row.position, row.reason, row.detail))
            continue
        try:
            prompt, answer = read_item(settings, row)
        except UnreadableRowError as error:
            unreadable.append(Unchecked(name, row.position, error.reason, error.detail))
            keys.update(row.value)  # the message names fields that there are
        else:
            items.append(Item(number, row.position, prompt, answer))
    if not items:
        raise UnreadableSourceError(f"no row of {file} gives an item{why_none(unreadable, keys)}")
    return Evaluation(name, file, source_fingerprint(file), items, unreadable)


def why_none(unreadable: Sequence[Unchecked], keys: Collection[str]) -> str:
    """Why a file with these rows and keys gives no item, and what can be done."""
    if not unreadable:
        return ": it has no rows"
    why = f": {unreadable[0].reason}, {unreadable[0].detail}"
    if not keys:
        return why
    return (
        f"{why}. Say which field has the prompt, and which the answer, with --prompt and --answer "
        f"or, in a recipe, `prompt` and `answer`; there are: {', '.join(sorted(keys))}"
    )


def read_item(settings: EvaluationSettings, row: RawRow) -> tuple[str, str]:
    """Prompt and answer of a row, "" where it has no answer.

    Raises:
        UnreadableRowError: if it has no prompt, or one that is no text.
    """
    if settings.prompt is not None:
        prompt = read_field(row.value, settings.prompt)
        answer = read_field(row.value, settings.answer) if settings.answer else None
        if not prompt:
            raise UnreadableRowError("missing_key", f"no {settings.prompt}, or an empty one")
        return prompt, answer or ""
    conversation, _ = read_conversation(row.value, settings.shape)
    response = conversation.response
    return prompt_of(conversation), message_text(response) if response else ""


def prompt_of(conversation: Conversation) -> str:
    """The turns before the response, without those that only say how to answer."""
    turns = [m for m in conversation.prompt if m["role"] not in ("system", "developer")]
    return "\n\n".join(message_text(turn) for turn in turns)


def read_field(row: dict[str, Any], field: str) -> str | None:
    """A field as text; numbers as they are written, a list of texts line by line.

    Raises:
        UnreadableRowError: if it is something else.
    """
    value = row.get(field)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "\n".join(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):  # True is an int
        return str(value)
    raise UnreadableRowError("wrong_type", f"{field} must be a text, a number or a list of texts")


def first_rows(settings: EvaluationSettings, file: str, most: int) -> list[RawRow]:
    """The first rows of a file that can be read, to see which fields they have.

    Raises:
        UnreadableSourceError: if the file cannot be read.
    """
    rows = islice(read_rows(file, settings.format), most)
    return [row for row in rows if isinstance(row, RawRow)]
