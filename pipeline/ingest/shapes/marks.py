"""Marks of training: what a row says of which answers are trained, and how much each counts.

    weight, loss_weight, loss_scale             a number from 0 to 10
    train, training, trainable, train_on_turn,  true or false, 1 or 0
    loss, loss_mask, step_loss_mask
    masked                                      the same, the other way round

They stand on a turn, or beside the turns: one value for every answer, or a list with an entry for
each turn or each answer. What comes of them is the weight of an assistant turn, 1 where nothing is
said. A mark that is not understood costs the row, for to pass over it may train what must not be.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Literal, TypeAlias

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.fields import Row, type_name
from storage.conversations import Message

Kind: TypeAlias = Literal["weight", "flag", "mask"]

MAX_WEIGHT = 10
"""A larger one is rather a percentage, a rank or a measurement."""

KINDS: dict[str, Kind] = {
    **dict.fromkeys(("weight", "weights", "loss_weight", "loss_weights", "loss_scale"), "weight"),
    **dict.fromkeys(("train", "training", "trainable", "train_on_turn", "train_on_turns"), "flag"),
    **dict.fromkeys(("loss", "loss_mask", "step_loss_mask"), "flag"),
    "masked": "mask",
}

OWN = "its own weight"
"""What a message calls the weight that a turn has, where a list beside the turns says another."""

_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+")
_MARKING = re.compile("(un|non)?(train|loss|mask|weight|supervis|ignor|skip|exclud)")
_TEXTS = {"true": 1.0, "false": 0.0}


@lru_cache(maxsize=1024)
def mark_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the keys that say, or seem to say, whether something is trained."""
    return tuple(
        key for key in keys if any(_MARKING.match(word.lower()) for word in _WORD.findall(key))
    )


def read_weight(turn: Row, role: str, where: str) -> float:
    """The weight of a turn; 1 where it says none, or is no assistant's.

    Raises:
        UnreadableRowError: unclear_mark, conflicting_fields where two marks differ, or
            unsupported_content where a turn of another role is to be trained.
    """
    marks = {key: _read_mark(key, turn[key], where) for key in _said(turn)}
    if role != "assistant":
        for key, weight in marks.items():
            if weight and KINDS[key] != "weight":
                detail = f"{where} is to be trained by its {key}, and its role is {role}"
                raise UnreadableRowError("unsupported_content", detail)
        return 1
    return _agreed(marks, where)


def weigh(row: Row, messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with the weights that stand beside them.

    Args:
        row: the row.
        messages: one for each turn of the row, in their order.

    Raises:
        UnreadableRowError: unclear_mark, or conflicting_fields where a turn says otherwise.
    """
    marks = _said(row)
    if not marks:
        return messages
    answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    said: dict[int, dict[str, float]] = {i: {} for i in answers}
    factor = 1.0
    for key in marks:
        if _says_something_else(key, row[key], (len(messages), len(answers))):
            continue
        if isinstance(row[key], list):
            for i, weight in _read_list(key, row[key], len(messages), answers):
                said[i][key] = weight
        else:
            factor *= _read_mark(key, _parsed(row[key]), "the row")
    weighed = list(messages)
    for i, of_lists in said.items():
        own = {OWN: messages[i]["weight"]} if "weight" in messages[i] else {}
        weight = _agreed({**of_lists, **own}, f"message {i + 1}") * factor
        weighed[i] = with_weight(messages[i], _bounded("weight", weight, f"message {i + 1}"))
    return weighed


def with_weight(message: Message, weight: float) -> Message:
    """The message with a weight; 1 is not kept, and 0 is an integer."""
    rest = {key: value for key, value in message.items() if key != "weight"}
    return rest if weight == 1 else {**rest, "weight": float(weight) if weight else 0}


def _said(fields: Row) -> list[str]:
    """The marks that are not empty."""
    return [key for key in mark_keys(tuple(fields)) if fields[key] not in (None, "", [], {})]


def _read_mark(key: str, value: object, where: str) -> float:
    kind = KINDS.get(key)
    if kind is not None and isinstance(value, int | float):
        if kind == "weight":
            return _bounded(key, value, where)
        if value in (0, 1):
            return float(value if kind == "flag" else 1 - value)
    raise _unclear(key, value, where)


def _bounded(key: str, weight: float, where: str) -> float:
    if not 0 <= weight <= MAX_WEIGHT:  # NaN is not either
        raise _unclear(key, weight, where)
    return weight


def _unclear(key: str, value: object, where: str) -> UnreadableRowError:
    shown = value if isinstance(value, int | float) else type_name(value)
    wanted = f"a number from 0 to {MAX_WEIGHT}" if KINDS.get(key) == "weight" else "true or false"
    known = f"must be {wanted}" if key in KINDS else "is no mark that is known"
    detail = f"{key} of {where} {known}, it is {shown}; say it by weight, or leave it out"
    return UnreadableRowError("unclear_mark", detail)


def _agreed(marks: dict[str, float], where: str) -> float:
    weights = {weight for key, weight in marks.items() if KINDS.get(key, "weight") == "weight"}
    if len(weights) > 1 or len({weight > 0 for weight in marks.values()}) > 1:
        detail = f"{' and '.join(marks)} of {where} differ"
        raise UnreadableRowError("conflicting_fields", detail)
    return next(iter(weights or marks.values()), 1)


def _says_something_else(key: str, value: object, lengths: tuple[int, int]) -> bool:
    """Whether a key beside the turns is a label or a measurement, as train_loss: 2.3."""
    if key in KINDS:
        return False
    if isinstance(value, list):
        if not all(entry is None or isinstance(entry, int | float) for entry in value):
            return True
        return len(value) not in lengths and not all(entry in (0, 1) for entry in value)
    if key == "mask":  # NeMo's: the speaker whose turns are not trained
        return isinstance(value, str) and value.lower() in ("user", "human")
    return not isinstance(value, bool)


def _read_list(
    key: str, entries: list[object], turns: int, answers: list[int]
) -> Iterator[tuple[int, float]]:
    """Each answer that a list says something of, and its weight."""
    places = {len(answers): answers, turns: list(range(turns))}.get(len(entries))
    if places is None:
        detail = f"{key} of the row has {len(entries)} entries, the row {turns} turns"
        raise UnreadableRowError("unclear_mark", f"{detail} and {len(answers)} answers")
    for place, entry in zip(places, entries, strict=True):
        if place in answers and entry is not None:
            yield place, _read_mark(key, entry, "the row")


def _parsed(value: object) -> object:
    """A number or truth value that a CSV file has as text; anything else as it is."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _TEXTS:
            return _TEXTS[text]
        with suppress(ValueError):
            return float(text)
    return value
