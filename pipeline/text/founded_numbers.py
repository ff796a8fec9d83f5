"""Whether the numbers of a solution are those of its problem, or follow from them step by step.

A number is founded where it stands in the problem, in digits or in English words, or is the sum,
difference, product or quotient of two that stood before it. What has decimals may be rounded to
them. So 24 is not founded in "3 * 4 * 2 = 24", for no 12 or 8 was written. The more numbers there
are, the more can follow by chance: what passes need not be right.
"""

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction

from pipeline.text.final_answer import NUMBER, read_number
from scorers.words import split_words

ONES = split_words(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen"""
)
TENS = split_words("twenty thirty forty fifty sixty seventy eighty ninety")

AMOUNTS = {
    **{word: n for n, word in enumerate(ONES)},
    **{word: 10 * n for n, word in enumerate(TENS, start=2)},
}

SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000}

PARTS = {"half": 2, "third": 3, "quarter": 4, "double": 2, "twice": 2, "once": 1}
"""Words by whose number something is divided or multiplied."""

COUNTED = re.compile(r"^[^\S\n]*+\d++[.)](?=\s)|\bstep \d++\b", re.MULTILINE | re.IGNORECASE)
"""What numbers the steps of a solution, and is none of it."""


def find_unfounded(solution: str, problem: str) -> str:
    """The first number of a solution that does not follow, as it stands there; "" where all do."""
    known = {*numbers_in(problem), *map(Fraction, worded_numbers(split_words(problem)))}
    known.add(Fraction(100))  # of what is said in per cent
    for written in NUMBER.findall(COUNTED.sub(" ", solution)):
        said = [*values_of(written)]
        if not any(is_founded(value, written, known) for value in said):
            return str(written)
        known.update(said)
    return ""


def numbers_in(text: str) -> Iterator[Fraction]:
    """The numbers that a text has in digits; 20% is a fifth."""
    for written in NUMBER.findall(text):
        yield from values_of(written)


def worded_numbers(words: Iterable[str]) -> Iterator[int]:
    """The numbers that words are, "thirty five thousand" as one."""
    above = below = 0  # of the words in a row so far: whole thousands, and what is added to them
    begun = False
    for word in [*words, ""]:
        if begun and word not in AMOUNTS and word not in SCALES:
            yield above + below
            above = below = 0
        begun = word in AMOUNTS or word in SCALES
        if word in AMOUNTS:
            below += AMOUNTS[word]
        elif word in SCALES and SCALES[word] < 1000:
            below = SCALES[word] * (below or 1)
        elif word in SCALES:
            above, below = above + SCALES[word] * (below or 1), 0
        elif word in PARTS:
            yield PARTS[word]


def values_of(written: str) -> Iterator[Fraction]:
    """What a number in digits may stand for; its amount as well as a loss of as much."""
    value = read_number(written)
    if value is not None:
        yield from {value, abs(value)}


def is_founded(value: Fraction, written: str, known: Iterable[Fraction]) -> bool:
    """Whether a number is one of those that are known, or comes of two of them."""
    _, _, decimals = written.rstrip("%").partition(".")
    near = Fraction(len(decimals) > 0, 2 * 10 ** len(decimals))
    numbers = sorted(known)
    if any(abs(value - each) <= near for each in numbers):
        return True
    return any(
        abs(value - result) <= near
        for a in numbers
        for b in numbers
        for result in (a + b, a - b, a * b, *([a / b] if b else []))
    )
