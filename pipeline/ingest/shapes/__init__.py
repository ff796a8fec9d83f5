"""Row shapes: each turns the keys of a row into a Conversation, or refuses the row by name.

A row is recognised by the keys that carry its content; null counts as absent. Other keys (id,
source, category, …) are nobody's content and are left out. A row that two shapes could read is
`ambiguous_shape`: which of them is meant is for the recipe to say.

To add one: write pipeline/ingest/shapes/NAME.py and its test, and add its line to SHAPES.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.alpaca import read_alpaca
from pipeline.ingest.shapes.chatml_text import read_chatml_text
from pipeline.ingest.shapes.input_output import read_input_output
from pipeline.ingest.shapes.messages import read_messages
from pipeline.ingest.shapes.preference import ANSWERS, PreferencePair, read_preference
from pipeline.ingest.shapes.prompt_completion import PAIRS, read_prompt_completion
from pipeline.ingest.shapes.prompt_only import read_prompt_only
from pipeline.ingest.shapes.sharegpt import read_sharegpt
from scorers.names import did_you_mean
from storage.conversations import Conversation

__all__ = [
    "CONTENT_KEYS",
    "SHAPES",
    "Shape",
    "UnderstoodRow",
    "UnreadableRowError",
    "read_conversation",
    "understand_row",
]

Keys: TypeAlias = frozenset[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """A way of writing a conversation as a row, and the keys it is recognised by."""

    read: Callable[[dict[str, Any]], Conversation | PreferencePair]
    keys: tuple[Keys, ...] = ()  # a row has this shape if it has all keys of one of these sets
    # The same, where the row has no other shape. `text` is often a rendering of the others.
    weak_keys: tuple[Keys, ...] = ()
    not_beside: Keys = frozenset()  # keys that rule this shape out, unless the recipe names it
    over: frozenset[str] = frozenset()  # shapes whose keys beside its own are a part of it


SHAPES: dict[str, Shape] = {
    "preference": Shape(
        read_preference, keys=tuple(map(frozenset, ANSWERS)), over=frozenset({"messages"})
    ),
    "messages": Shape(read_messages, keys=(frozenset({"messages"}),)),
    "sharegpt": Shape(read_sharegpt, keys=(frozenset({"conversations"}),)),
    "alpaca": Shape(read_alpaca, keys=(frozenset({"instruction", "output"}),)),
    "prompt_completion": Shape(read_prompt_completion, keys=tuple(map(frozenset, PAIRS))),
    "input_output": Shape(
        read_input_output,
        keys=(frozenset({"input", "output"}),),
        not_beside=frozenset({"instruction"}),
    ),
    "prompt_only": Shape(
        read_prompt_only,
        weak_keys=(frozenset({"prompt"}),),
        not_beside=frozenset(
            {"answer", "chosen", "completion", "output", "rejected", "response", "solution"}
        ),
    ),
    "chatml_text": Shape(
        read_chatml_text,
        weak_keys=(frozenset({"text"}),),
        not_beside=frozenset({"prompt", "chosen", "rejected"}),  # it is a rendering of them
    ),
}

CONTENT_KEYS: Keys = frozenset(
    key
    for shape in SHAPES.values()
    for keys in (*shape.keys, *shape.weak_keys, shape.not_beside)
    for key in keys
)
"""Names of keys by which some shape is known, or ruled out."""


class UnderstoodRow(NamedTuple):
    """What a row says, and the name of the shape it was read as."""

    conversation: Conversation
    """Of a pair, the chosen one."""
    shape: str
    rejected: Conversation | None = None
    """Of a pair, the rejected one."""


def read_conversation(value: dict[str, Any], shape: str | None = None) -> tuple[Conversation, str]:
    """Read a row as a conversation, of a pair the chosen one; see understand_row."""
    return understand_row(value, shape)[:2]


def understand_row(value: dict[str, Any], shape: str | None = None) -> UnderstoodRow:
    """Read a row as a conversation, or as two that are a pair.

    Args:
        value: the row. It may share parts with the conversation, so it must not be changed after.
        shape: a name from SHAPES, to read the row as that one only; None to recognise it.

    Raises:
        UnreadableRowError: if the row is not a conversation of the shape, or of any.
        ValueError: if there is no shape of that name.
    """
    name = _recognise(value) if shape is None else _require(value, shape)
    found = SHAPES[name].read(value)
    if isinstance(found, PreferencePair):
        return UnderstoodRow(found.chosen, name, found.rejected)
    return UnderstoodRow(found, name)


def _content_keys(value: dict[str, Any]) -> Keys:
    found = _known_keys(tuple(value))  # cached: a source has few sets of keys
    if None not in value.values():
        return found
    nulls = frozenset(key for key in found if value[key] is None)
    return found - nulls if nulls else found


@lru_cache(maxsize=1024)
def _known_keys(keys: tuple[str, ...]) -> Keys:
    return CONTENT_KEYS.intersection(keys)


def _recognise(value: dict[str, Any]) -> str:
    found = _content_keys(value)
    matches = _matches(found)
    if len(matches) == 1:
        return matches[0][0]
    if not matches:
        raise UnreadableRowError("unknown_shape", _unknown(value, found, SHAPES))
    readings = " and ".join(f"{name} ({_listed(keys)})" for name, keys in matches)
    raise UnreadableRowError(
        "ambiguous_shape", f"could be {readings}; name the shape in the recipe"
    )


@lru_cache(maxsize=1024)
def _matches(found: Keys) -> tuple[tuple[str, Keys], ...]:
    """Every shape, with the keys it is recognised by, that the keys allow."""
    possible = {name: shape for name, shape in SHAPES.items() if not shape.not_beside & found}
    strong = [(name, keys) for name, shape in possible.items() for keys in shape.keys]
    weak = [(name, keys) for name, shape in possible.items() for keys in shape.weak_keys]
    matches = [match for match in strong if match[1] <= found]
    covered = {each for name, _ in matches for each in SHAPES[name].over}
    matches = [match for match in matches if match[0] not in covered]
    return tuple(matches or [match for match in weak if match[1] <= found])


def _require(value: dict[str, Any], name: str) -> str:
    """Check that the row has the keys of the shape that was named."""
    if name not in SHAPES:
        raise ValueError(f"no shape named {name!r}. {did_you_mean(name, SHAPES)}")
    found = _content_keys(value)
    shape = SHAPES[name]
    if not any(keys <= found for keys in (*shape.keys, *shape.weak_keys)):
        raise UnreadableRowError("unknown_shape", _unknown(value, found, [name]))
    return name


def _unknown(value: dict[str, Any], found: Keys, names: Iterable[str]) -> str:
    """Say what keys there are, and what is missing for the nearest of the shapes."""
    options = [
        (name, keys)
        for name in names
        for keys in (*SHAPES[name].keys, *SHAPES[name].weak_keys)
        if keys - found  # of one that is ruled out by other keys nothing may be missing
    ]
    # Nearest: fewest keys missing, then most keys there.
    name, keys = min(options, key=lambda option: (len(option[1] - found), -len(option[1])))
    there = _listed(key[:40] for key in list(value)[:20]) or "none"  # a bound on what is logged
    return f"keys: {there}; the nearest shape, {name}, lacks {_listed(keys - found)}"


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys))
