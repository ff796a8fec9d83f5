"""Leaks of known kinds, made from the evaluation items themselves, to measure what rules find.

    recall of a kind = leaks whose own item is among their hits / leaks of that kind

    verbatim         the item as it is
    other answer     its prompt, with the answer of another item
    short            the same, of prompts that are shorter than an n-gram
    reordered        its prompt with the sentences in another order, and another answer
    changed numbers  its prompt with every number changed, and another answer

They are rows in memory, given to the very matchers that the real rows were given to, and are never
stored as examples. Which items are drawn follows from the seed and the items' texts, not from
their order. An item is used for a kind only if the kind can be made of it: a prompt of one sentence
cannot be reordered, and one without numbers keeps them.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.contamination.texts import NUMBER, Item, RowTurns, TurnText, plain_words
from scorers.words import count_words
from storage.conversations import content_hash

LeakKind = Literal["verbatim", "other answer", "short", "reordered", "changed numbers"]

KINDS: tuple[LeakKind, ...] = get_args(LeakKind)

NO_ANSWER = "I cannot say."  # where a set has no other answer to give
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
REORDERINGS = 8  # shuffles that are tried before a prompt counts as one that cannot be reordered


@dataclass(frozen=True, slots=True)
class Leak:
    """A row made from an item."""

    item: int  # place in the list of items
    kind: LeakKind
    row: RowTurns


def make_leaks(items: Sequence[Item], most: int, short_words: int, seed: int) -> list[Leak]:
    """Make leaks of one evaluation set.

    Args:
        items: of one set.
        most: leaks of each kind; fewer where fewer can be made.
        short_words: A prompt of fewer words is short.
        seed: of the draw.

    Returns:
        Leaks by kind, their items as places in `items`.
    """
    order = sorted(  # by what items say, so that their order in the file makes no difference
        range(len(items)), key=lambda i: content_hash([seed, items[i].prompt, items[i].answer])
    )
    leaks = []
    for kind in KINDS:
        made = 0
        for turn, place in enumerate(order):
            if made == most:
                break
            prompt = change_prompt(kind, items[place].prompt, short_words, seed)
            if prompt is not None:
                # Of the item drawn before it; of the first, that is the last: order[-1].
                other = items[order[turn - 1]].answer if len(order) > 1 else ""
                answer = items[place].answer if kind == "verbatim" else other or NO_ANSWER
                leaks.append(Leak(place, kind, leak_row(prompt, answer)))
                made += 1
    return leaks


def leak_row(prompt: str, answer: str) -> RowTurns:
    """A row of one question and, if there is one, its answer."""
    return [TurnText("user", prompt), *([TurnText("assistant", answer)] if answer else [])]


def change_prompt(kind: LeakKind, prompt: str, short_words: int, seed: int) -> str | None:
    """The prompt as a leak of a kind has it; None where none can be made."""
    words = count_words(plain_words(prompt))
    if not words:
        return None
    draw = random.Random(content_hash([seed, kind, prompt]))  # the same whichever items come before
    makers: dict[LeakKind, Callable[[], str | None]] = {
        "short": lambda: prompt if words < short_words else None,
        "reordered": lambda: reorder(prompt, draw),
        "changed numbers": lambda: change_numbers(prompt, draw),
    }
    return makers[kind]() if kind in makers else prompt


def reorder(prompt: str, draw: random.Random) -> str | None:
    """The sentences of a prompt in another order; None where it has one, or only equal ones."""
    sentences = [part.strip() for part in SENTENCE_END.split(prompt) if part.strip()]
    for _ in range(REORDERINGS):
        shuffled = draw.sample(sentences, len(sentences))
        if shuffled != sentences:
            return " ".join(shuffled)
    return None


def change_numbers(prompt: str, draw: random.Random) -> str | None:
    """A prompt with each number replaced by another; None where it has none."""
    changed, count = NUMBER.subn(lambda found: another_number(found[0], draw), prompt)
    return changed if count else None


def another_number(number: str, draw: random.Random) -> str:
    """Another number with as many digits in front."""
    digits = re.split("[.,]", number)[0]
    # At most 4 digits: the list of 10^20 numbers of a long one would not fit into memory.
    others = [n for n in range(1, 10 ** min(len(digits), 4)) if str(n) != number]
    return str(draw.choice(others))
