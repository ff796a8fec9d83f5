"""What methods make of the rows of a training: the weights and labels of each trained turn.

A row of token ids may hold several trained turns (see pipeline/export/pretokenized.py), a
conversational one holds one. Either way a method is asked turn by turn, and what it gives is put in
its place. A token that counts 0 loses its label; a row without any label left is no row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fine_tune.collate import LOSS_WEIGHTS
from fine_tune.method import TokenWeights, TrainedTurn, TrainingMethod
from storage.exports_manifest import IGNORED, example_of

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

Conversations: TypeAlias = Mapping[tuple[str, int], int]
"""Example and index of a trained message → its row among the conversational ones."""


def weigh_rows(
    rows: Dataset,
    conversations: Dataset,
    methods: Sequence[TrainingMethod],
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[Dataset, list[str]]:
    """Give the tokens of rows the weights that methods want, one method after the other.

    Args:
        rows: of token ids with labels, as a trainer prepared them.
        conversations: the conversational rows of the same split.
        methods: of a training; those that weigh no tokens are passed over.
        tokenizer: of the rows.

    Returns:
        The rows, fewer where nothing is left to train; what each method did, for the report.

    Raises:
        ValueError: if a method leaves no row.
    """
    notes = []
    asked = [each for each in methods if each.changes == "weights of tokens"]
    places = {
        (example_of(row_id), len(prompt)): index
        for index, (row_id, prompt) in enumerate(
            zip(conversations["example_id"], conversations["prompt"], strict=True)
        )
        if asked
    }
    for method in asked:
        weigh = method.token_weights(iter(conversations))
        turns = partial(
            turns_of, conversations=conversations, places=places, decode=decoder(tokenizer)
        )
        before = len(rows)
        counts = np.zeros(2, dtype=np.int64)  # tokens that lost their label, tokens weighed
        rows = rows.map(
            partial(weigh_row, turns=turns, weigh=weigh, counts=counts), load_from_cache_file=False
        )
        rows = rows.filter(has_label, input_columns="labels", load_from_cache_file=False)
        if not len(rows):
            raise ValueError(f"{method.method} leaves no token of the export to train")
        notes.append(
            f"{method.method}: {counts[0]} tokens are no longer trained, {counts[1]} count more or "
            f"less than before; {before - len(rows)} rows have nothing left"
        )
    return rows, notes


def weigh_row(
    row: Mapping[str, Any],
    turns: Callable[[Mapping[str, Any]], Iterable[tuple[TrainedTurn, NDArray[np.int64]]]],
    weigh: TokenWeights,
    counts: NDArray[np.int64],
) -> dict[str, NDArray[np.generic]]:
    """The labels and weights of a row; what was done is added to the counts."""
    labels = np.array(row["labels"], dtype=np.int64)
    weights = np.ones(len(labels), dtype=np.float32)
    if row.get(LOSS_WEIGHTS) is not None:
        weights *= np.asarray(row[LOSS_WEIGHTS], dtype=np.float32)  # one may count for all
    for turn, places in turns(row):
        factors = weigh(turn)
        weights[places] *= factors
        labels[places[factors == 0]] = IGNORED
        counts += np.sum(factors == 0), np.sum((factors != 0) & (factors != 1))
    return {"labels": labels, LOSS_WEIGHTS: weights}


def turns_of(
    row: Mapping[str, Any],
    conversations: Dataset,
    places: Conversations,
    decode: Callable[[Iterable[int]], str],
) -> Iterator[tuple[TrainedTurn, NDArray[np.int64]]]:
    """The trained turns of a row, each with the places of its trained tokens."""
    labels, ids = np.asarray(row["labels"]), np.asarray(row["input_ids"])
    example_id = example_of(row["example_id"])
    messages = row["turns"] if "turns" in row else [len(row["prompt"])]
    ends = row["turn_ends"] if "turns" in row else [len(ids)]
    for message, start, end in zip(messages, [0, *ends], ends, strict=False):
        trained = start + np.flatnonzero(labels[start:end] != IGNORED)
        said = conversations[places[example_id, message]]
        yield (
            TrainedTurn(
                example_id=example_id,
                message=message,
                answer=said["completion"][0],
                tools=tuple(said["tools"] or ()),
                tokens=ids[trained],
                decode=decode,
            ),
            trained,
        )


def has_label(labels: Sequence[int]) -> bool:
    """Whether a row has a token that is trained; the first is never predicted."""
    return any(label != IGNORED for label in labels[1:])


def decoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[Iterable[int]], str]:
    """Token ids → their text, as it stands."""

    def decode(ids: Iterable[int]) -> str:
        return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    return decode
