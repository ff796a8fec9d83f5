"""One row of an export, and how its messages become text that every reader reads alike.

Messages and tools are stored as JSON, one string each, in Arrow's JSON type: Arrow structs would
fill every key that some other row has with null (axolotl#2909), and a chat template sees a null.
The `datasets` library decodes that type with a parser that is fast and not exact:
0.7520692883059177 comes back as 0.752069288305917, 3.699e-06 as 3.6989999999999997e-06. A tool
call with such a number would be trained with other tokens than were counted. So each value with a
number is decoded once here as the trainer will decode it, and where one differs it is spelled in
another way, one that both parsers read as the number it was.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import orjson

from storage.conversations import Message
from storage.exports_manifest import Split

JsonObject: TypeAlias = Mapping[str, Any]

SIGNIFICANT_DIGITS = (17, 18, 19, 16, 15)
"""Lengths of the mantissa tried, likeliest first; an unsigned 64-bit number holds 19."""


@dataclass(frozen=True, slots=True)
class RejectedAnswer:
    """An answer to the prompt of a row that the selection dropped."""

    example_id: str
    """Of the example that it is the answer of."""
    answer: Message
    loss_tokens: int
    """Tokens of the answer, behind the same prompt."""
    reason: str
    """Why the selection dropped it."""


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A trained turn of an example as a trainer gets it."""

    example_id: str
    """As `row_id` writes it; no two rows of an export have the same."""
    prompt: Sequence[Message]
    """At least one message; in canonical form."""
    completion: Sequence[Message]
    """The trained turn, alone."""
    tools: Sequence[JsonObject]
    prompt_tokens: int
    loss_tokens: int
    split: Split
    rank: int
    """Place of the example in the selection, from 1; never falls within a split."""
    weight: float
    """What each token of the row counts in the loss."""
    source: str
    """The file or table that the row was read from."""
    license: str | None
    """As the source states it; None where it states none."""
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """Score of the example by name, as far as the export is to have them; None: it has none."""
    rejected: RejectedAnswer | None = None


def row_id(example_id: str, turn: int, turns: int) -> str:
    """What a row of an export is called: the example, and which of its trained turns it is.

    Args:
        example_id: of the example.
        turn: index of the turn among its messages.
        turns: how many of them are trained; a row of the only one has the example's own id.
    """
    return example_id if turns == 1 else f"{example_id}-{turn}"


def check_row(row: ExportRow, max_length: int | None) -> None:
    """Refuse a row that a trainer would lose, cut or stumble over; max_length is in tokens.

    Raises:
        ValueError: if prompt or completion is not as ExportRow says, there is nothing to train, or
            the row is too long; the message names the row.
    """
    if not row.prompt:
        raise ValueError(f"{row.example_id}: the prompt has no message, a trainer needs one")
    if len(row.completion) != 1 or row.completion[0]["role"] != "assistant":
        roles = [message["role"] for message in row.completion]
        raise ValueError(f"{row.example_id}: expected one assistant message, got {roles}")
    if row.loss_tokens < 1 or row.prompt_tokens < 0:
        raise ValueError(
            f"{row.example_id}: expected at least 1 loss token and 0 prompt tokens, "
            f"got {row.loss_tokens} and {row.prompt_tokens}"
        )
    answers = [row.loss_tokens, row.rejected.loss_tokens if row.rejected else 0]
    length = row.prompt_tokens + max(answers)
    if max_length is not None and length > max_length:
        raise ValueError(
            f"{row.example_id}: {length} tokens, more than max_length {max_length}; "
            "the trainer would cut it"
        )


def encode_objects(values: Sequence[JsonObject], owner: str) -> list[bytes]:
    """Write objects as JSON that exact parsers and the `datasets` library decode to the same.

    Keys keep their order, because a chat template prints tools in it.

    Args:
        values: objects of JSON values.
        owner: id of the row, for the message.

    Raises:
        ValueError: if a value cannot be carried: NaN, infinity, an integer over 64 bits, or a
            number too near 0 (below 1e-306) to be spelled for both parsers.
    """
    return [_encode_object(value, owner) for value in values]


def _encode_object(value: JsonObject, owner: str) -> bytes:
    try:
        text = orjson.dumps(value)
        if _has_no_number(value):
            return text  # nearly all messages, for which `datasets` need not be imported
        if _decoder()(text.decode()) == value:
            return text  # nearly always: only some floats are read wrong
        text = orjson.dumps(_spell_numbers(value))
        if _decoder()(text.decode()) == value == orjson.loads(text):
            return text
    except (orjson.JSONEncodeError, ValueError) as error:
        raise ValueError(
            f"{owner}: a message or tool cannot be written as JSON: {error}"
        ) from error
    raise ValueError(f"{owner}: a message or tool has a value that JSON readers would change")


def _has_no_number(value: object) -> bool:
    """Whether there are only texts, true, false and null: the two parsers differ in numbers.

    What is no value of JSON, a tuple say, is none of them, and is looked at as a number is.
    """
    if type(value) is dict:
        return all(type(key) is str and _has_no_number(each) for key, each in value.items())
    if type(value) is list:
        return all(map(_has_no_number, value))
    return value is None or type(value) in (str, bool)


@cache
def _decoder() -> Callable[[str], object]:
    """The trainer's own decoder; imported late, because `datasets` takes seconds to import."""
    from datasets import Json as JsonFeature

    decode: Callable[[str], object] = JsonFeature().decode_example
    return decode


def _spell_numbers(value: object) -> object:
    """The same value, with every float as a fragment of JSON text."""
    if isinstance(value, float):
        return orjson.Fragment(spell_number(value))
    if isinstance(value, Mapping):
        return {key: _spell_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spell_numbers(item) for item in value]
    return value


def spell_number(value: float) -> str:
    """Spell a number so that an exact parser and that of `datasets` both read just this number.

    Raises:
        ValueError: if the number is not finite, or no spelling tried is read right by both.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    for text in _spellings(value):
        if float(text) == value and _decoder()(text) == value:
            return text
    raise ValueError(f"{value!r} has no spelling that every JSON reader reads alike")


def _spellings(value: float) -> Iterator[str]:
    """Decimal texts near a number: other mantissas, and the decimal point in other places."""
    yield repr(value)
    sign = "-" if value < 0 else ""
    for digits in SIGNIFICANT_DIGITS:
        # "d.ddde±xx": one digit before the point, digits - 1 after it
        mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
        mantissa = mantissa.replace(".", "")
        # The point has moved right by whole - 1 digits, and the exponent falls by as much.
        for whole in range(1, digits + 1):
            fraction = f".{mantissa[whole:]}" if whole < digits else ""
            yield f"{sign}{mantissa[:whole]}{fraction}e{int(exponent) + 1 - whole}"
        for zeros in range(16):  # 0.000ddd: moved left by 1 + zeros
            yield f"{sign}0.{'0' * zeros}{mantissa}e{int(exponent) + 1 + zeros}"
