"""The rejected answers of an export's rows as token ids, beside the rows that a training reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fine_tune.collate import (
    MARKS,
    PAIR_COLUMNS,
    REJECTED_IDS,
    REJECTED_LABELS,
    REJECTED_MARKS,
)
from fine_tune.method import TrainingMethod
from fine_tune.method_rows import decoder, weigh_rows
from fine_tune.prepared_rows import render_row
from fine_tune.settings import TrainSettings
from storage.exports_manifest import IGNORED, example_of

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def pair_method(settings: TrainSettings) -> TrainingMethod | None:
    """The method that reads rejected answers, if there is one."""
    return next((each for each in settings.methods if each.pairs), None)


def rows_of_methods(
    rows: Dataset,
    conversations: Dataset,
    settings: TrainSettings,
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[Dataset, list[str]]:
    """What methods make of the rows of a split: their weights, and rejected answers beside them.

    Arguments, answer and errors are those of weigh_rows and attach_rejected, one after the other.
    """
    rows, weighed = weigh_rows(rows, conversations, settings.methods, tokenizer)
    rows, paired = attach_rejected(rows, conversations, settings, tokenizer)
    return rows, weighed + paired


def attach_rejected(
    rows: Dataset,
    conversations: Dataset,
    settings: TrainSettings,
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[Dataset, list[str]]:
    """Put the token ids of rejected answers beside the rows, where a method reads them.

    Args:
        rows: of token ids with labels, as a trainer prepared them.
        conversations: the conversational rows of the same split.
        settings: of the training.
        tokenizer: of the rows.

    Returns:
        The rows; what was found, for the report.

    Raises:
        ValueError: if no row has a rejected answer, or one has other tokens than the export says.
    """
    method = pair_method(settings)
    if method is None:
        return rows, []
    if "rejected_answer" not in conversations.column_names:
        raise ValueError(
            f"the export has no rejected answers, which {method.method} reads: name reasons in "
            "export.rejected in the recipe, and export again"
        )
    # A row that has one is the only one of its example.
    places = {
        example_of(row_id): place
        for place, (row_id, other) in enumerate(
            zip(conversations["example_id"], conversations["rejected_id"], strict=True)
        )
        if other is not None
    }
    found = [places.get(example_of(row_id)) for row_id in rows["example_id"]]
    count = sum(place is not None for place in found)
    if not count:
        raise ValueError(
            f"none of the {len(rows)} rows has a rejected answer, which {method.method} reads: "
            "name the reasons that the recipe's steps drop answers for in export.rejected"
        )
    beside = [
        pair_columns(row, None if place is None else conversations[place], method, tokenizer)
        for row, place in zip(rows.select_columns(["input_ids", "labels"]), found, strict=True)
    ]
    for name in PAIR_COLUMNS:
        rows = rows.add_column(name, [each[name] for each in beside])
    note = f"{method.method}: {count} of {len(rows)} rows have a rejected answer"
    if count < len(rows):
        without = "count nothing" if method.divides_by == "pairs" else "are trained without"
        note = f"{note}; the others {without}"
    return rows, [note]


def pair_columns(
    row: Mapping[str, Any],
    said: Mapping[str, Any] | None,
    method: TrainingMethod,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, list[int]]:
    """What a row gets beside it; nothing but empty lists, and marks of 0, where it has no answer.

    Raises:
        ValueError: if the answer has other tokens than the export says.
    """
    marks = np.zeros(len(row["input_ids"]), dtype=np.int64)
    if said is None:
        return {REJECTED_IDS: [], REJECTED_LABELS: [], MARKS: marks.tolist(), REJECTED_MARKS: []}
    other = render_row({**said, "completion": said["rejected_answer"]}, tokenizer)
    if (tokens := other.count().loss_tokens) != said["rejected_tokens"]:
        raise ValueError(
            f"{said['example_id']}: its rejected answer has {tokens} tokens here, and "
            f"{said['rejected_tokens']} in the export: the tokenizer or its chat template is not "
            "the one that was counted with"
        )
    other_marks = np.zeros(len(other.input_ids), dtype=np.int64)
    ours, theirs = (
        np.flatnonzero(np.array(labels) != IGNORED) for labels in (row["labels"], other.labels)
    )
    decode = decoder(tokenizer)
    texts = [
        [decode([ids[place]]) for place in places.tolist()]
        for ids, places in ((row["input_ids"], ours), (other.input_ids, theirs))
    ]
    marks[ours], other_marks[theirs] = method.mark_answers(*texts)
    return {
        REJECTED_IDS: list(other.input_ids),
        REJECTED_LABELS: list(other.labels),
        MARKS: marks.tolist(),
        REJECTED_MARKS: other_marks.tolist(),
    }


def stand_in_rejected(settings: TrainSettings, rows: Dataset) -> Dataset:
    """Rows that are rejected answers of their own, to try what reading a second one costs."""
    if pair_method(settings) is None:
        return rows
    ids, labels = rows["input_ids"], rows["labels"]
    marks = [[int(label != IGNORED) for label in each] for each in labels]
    columns = {REJECTED_IDS: ids, REJECTED_LABELS: labels, MARKS: marks, REJECTED_MARKS: marks}
    for name, column in columns.items():
        rows = rows.add_column(name, list(column))
    return rows
