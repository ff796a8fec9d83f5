"""What a method says of a turn stands in its place, whichever form the rows have."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from fine_tune.method import Change, TokenWeights, TrainedTurn, TrainingMethod
from fine_tune.method_rows import decoder, has_label, weigh_rows
from fine_tune.methods.tl_training import TLTraining
from fine_tune.prepared_rows import load_split
from fine_tune.trainer import prepare_without_model
from scorers.measures.models.loading import load_tokenizer, resolve_model
from scorers.measures.protocols import Message
from storage.exports_manifest import IGNORED, PRETOKENIZED
from tests.fine_tune.tiny import WEATHER, export_with_tokens
from tests.template_families import turn_rows

LIST = {"type": "function", "function": {"name": "list", "parameters": {"type": "object"}}}


def call(name: str) -> Message:
    made = {"type": "function", "function": {"name": name, "arguments": {}}}
    return {"role": "assistant", "content": "", "tool_calls": [made], "weight": 0.5}


TALK: list[Message] = [
    {"role": "user", "content": "Rain?"},
    call("weather"),
    {"role": "tool", "content": "error: x is not defined"},
    call("list"),
    {"role": "tool", "content": "sun"},
    {"role": "assistant", "content": "No, sun."},
]
"""A call that went wrong, one that did not, and an answer."""


class ByMessage(TrainingMethod):
    """Weighs turns by the index of their message, and keeps what it was told."""

    changes: ClassVar[Change] = "weights of tokens"
    seen: ClassVar[list[TrainedTurn]] = []

    def token_weights(self, conversations: Iterable[Mapping[str, Any]]) -> TokenWeights:
        """Message 1 is not trained, message 5 counts five times."""
        self.seen.clear()

        def weigh(turn: TrainedTurn) -> NDArray[np.float32]:
            self.seen.append(turn)
            weight = 0 if turn.message == 1 else turn.message
            return np.full(len(turn.tokens), weight, dtype=np.float32)

        return weigh


def weighed(
    folder: Path, model: Path, *methods: TrainingMethod, pretokenized: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    tokenizer = load_tokenizer(resolve_model(str(model)))
    rows = turn_rows(tokenizer, TALK, [WEATHER, LIST])
    export = export_with_tokens(folder, tokenizer, rows, pretokenized=pretokenized)
    conversations = load_split(export, "train", folder / "cache")
    if pretokenized:
        prepared = load_split(export, "train", folder / "cache", PRETOKENIZED)
    else:
        prepared = prepare_without_model(conversations, model, None)
        prepared = prepared.map(lambda row: {"loss_weights": [row["weight"]]})
    found, notes = weigh_rows(prepared, conversations, methods, tokenizer)
    return list(found), notes


def counted(rows: list[dict[str, Any]], text: str, decode: Callable[..., str]) -> list[set[float]]:
    """The weights of the trained tokens of each row whose trained text begins so."""
    found = []
    for row in rows:
        trained = np.flatnonzero(np.array(row["labels"]) != IGNORED)
        runs = np.split(trained, np.flatnonzero(np.diff(trained) > 1) + 1)
        for run in runs:
            if len(run) and decode(np.array(row["input_ids"])[run]).startswith(text):
                found.append(set(np.array(row["loss_weights"])[run].tolist()))
    return found


@pytest.mark.parametrize("pretokenized", [False, True])
def test_each_turn_is_weighed_in_its_place_on_top_of_what_it_counted(
    tiny_model: Path, tmp_path: Path, pretokenized: bool
) -> None:
    method = ByMessage(method="by_message")
    rows, notes = weighed(tmp_path, tiny_model, method, pretokenized=pretokenized)
    decode = decoder(load_tokenizer(resolve_model(str(tiny_model))))
    assert sorted(turn.message for turn in method.seen) == [1, 3, 5]
    assert len(rows) == (1 if pretokenized else 2), "a row with no label left is none"
    assert counted(rows, '{"name": "weather"', decode) == []
    assert counted(rows, '{"name": "list"', decode) == [{1.5}]  # 3 times a half
    assert counted(rows, "No, sun.", decode) == [{5.0}]
    answers = {turn.message: turn.answer for turn in method.seen}
    assert answers[5]["content"] == "No, sun."
    assert all(len(turn.tools) == 2 for turn in method.seen)
    lost = next(len(turn.tokens) for turn in method.seen if turn.message == 1)
    assert notes[0].startswith(f"by_message: {lost} tokens are no longer trained")


@pytest.mark.parametrize("pretokenized", [False, True])
def test_tl_training_leaves_the_call_before_an_error_and_weighs_names(
    tiny_model: Path, tmp_path: Path, pretokenized: bool
) -> None:
    method = TLTraining(method="tl_training")
    rows, _ = weighed(tmp_path, tiny_model, method, pretokenized=pretokenized)
    decode = decoder(load_tokenizer(resolve_model(str(tiny_model))))
    assert counted(rows, '{"name": "weather"', decode) == []
    assert counted(rows, "No, sun.", decode) == [{1.0}]
    assert counted(rows, '{"name": "list"', decode) == [{0.5, 4.5}]  # half, and nine times that
    row = next(r for r in rows if 4.5 in r["loss_weights"])
    heavy = np.flatnonzero(np.array(row["loss_weights"]) == 4.5)
    assert decode(np.array(row["input_ids"])[heavy]) == "{l", "a call's first, and l of list"


class Nothing(ByMessage):
    """Trains nothing."""

    def token_weights(self, conversations: Iterable[Mapping[str, Any]]) -> TokenWeights:
        """All are 0."""
        return lambda turn: np.zeros(len(turn.tokens), dtype=np.float32)


def test_a_method_that_leaves_nothing_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing leaves no token of the export to train"):
        weighed(tmp_path, tiny_model, Nothing(method="nothing"), pretokenized=True)


def test_without_such_a_method_rows_are_left_alone(tiny_model: Path, tmp_path: Path) -> None:
    rows, notes = weighed(tmp_path, tiny_model, pretokenized=True)
    assert notes == [] and len(rows) == 1


def test_the_first_token_is_never_predicted() -> None:
    assert not has_label([5, IGNORED]) and has_label([IGNORED, 5]) and not has_label([])
