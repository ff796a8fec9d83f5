"""Texts as words and signs, each with its place, so that a span can be read again where it stands.

- A word is a run of letters, digits, underscores and combining marks; "don't" is one word.
- In scripts written without spaces, each character is a word.
- Every other character that is not white space is a sign.

Two texts are the same word for word if their words and signs are: white space makes no difference,
case and punctuation do, and Unicode's composed form (NFC) is taken of each. Deduplication, which
asks whether rows say the same, looks past case and punctuation (pipeline/text/shingles.py).

A sentence ends behind ". ! ?" or their like, where white space or the end of the text follows,
also behind a closing quote or bracket; and at an empty line.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from unicodedata import normalize

from scorers.words import SPACELESS, combining_marks

APOSTROPHES = "'\u2019"
CLOSING = r"\"'\u201d\u2019\xbb)\]"
SENTENCE_END = re.compile(
    # But not within 3.14 or example.com. A run is tried from its first sign alone.
    rf"(?<![.!?\u2026])[.!?\u2026]+[{CLOSING}]*(?=\s|\Z)"
    "|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\u2019\uff09]*"  # Chinese and Japanese use no space
    r"|(?=\n[ \t\r]*\n)"  # an empty line, as behind a heading
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word or sign of a text."""

    form: str  # as it is compared
    start: int  # where it stands in the text, in characters
    end: int  # of the first character behind it

    @property
    def is_word(self) -> bool:
        """Whether it is a word, and no sign."""
        return is_word(self.form)


@cache
def _tokens() -> re.Pattern[str]:
    """The pattern of a word or sign."""
    marks = combining_marks()
    letters = rf"(?:[^\W{SPACELESS}]|[{marks}])+"
    return re.compile(
        rf"[{SPACELESS}][{marks}]*|{letters}(?:[{APOSTROPHES}]{letters})*|\S[{marks}]*"
    )


def is_word(form: str) -> bool:
    """Whether a token is a word, and no sign."""
    return form[0].isalnum() or form[0] == "_"


def split_forms(text: str) -> list[str]:
    """The words and signs of a text as they are compared."""
    forms: list[str] = _tokens().findall(text)
    return forms if text.isascii() else [normalize("NFC", form) for form in forms]


def split_tokens(text: str) -> list[Token]:
    """The same, with their places."""
    return [
        Token(normalize("NFC", found[0]), found.start(), found.end())
        for found in _tokens().finditer(text)
    ]


def sentence_ends(text: str, tokens: list[Token]) -> Iterator[int]:
    """For each token, the number of the first token that is not of its sentence."""
    ends = [found.end() for found in SENTENCE_END.finditer(text)]
    starts = [token.start for token in tokens]
    # A sentence that ends at a character ends before the first token from there on.
    borders = [*(bisect_left(starts, end) for end in ends), len(tokens)]
    for number in range(len(tokens)):
        yield borders[bisect_right(borders, number)]  # the first border behind the token
