"""Units of passages: the sentences of a text, and pieces of those that have too many tokens."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from pipeline.documents.borders import character_end, last_border, next_border, strip_span
from pipeline.documents.sentences import find_sentences

TokenStarts: TypeAlias = Callable[[Sequence[str]], Sequence[Sequence[int]]]
"""For each text, at which character each of its tokens starts, rising: what a tokenizer says."""

TOGETHER = 256
"""Sentences that the tokenizer is given at a time."""


class PassageUnit(NamedTuple):
    """A sentence, or a piece of one: what passages are put together from."""

    start: int  # characters
    end: int
    tokens: int
    opens: bool  # whether a heading begins here
    goes_on: bool  # whether it is the rest of a sentence


class TokenCounter:
    """A text whose spans are counted in tokens, each by itself."""

    def __init__(self, text: str, starts: TokenStarts) -> None:
        self.text = text
        self.starts = starts

    def count(self, start: int, end: int) -> int:
        """Tokens of a span."""
        return len(self.starts([self.text[start:end]])[0])

    def tail(self, start: int, end: int, most: int) -> int:
        """Where the last tokens of a span begin, at most so many; the end if none of them fit.

        That is at the start of a word, if one is among them.
        """
        (found,) = self.starts([self.text[start:end]])
        room = most
        while 0 < room < len(found):
            begin = next_border(self.text, start + found[-room], end)
            excess = self.count(begin, end) - most
            if excess <= 0:
                return begin
            room -= excess
        return end


def find_units(
    tokens: TokenCounter, headings: Sequence[int], most: int, piece: int
) -> list[PassageUnit]:
    """What passages of a text are put together from, in order.

    Args:
        tokens: the text.
        headings: offsets at which its headings begin, rising.
        most: tokens of a unit; a sentence of more is cut.
        piece: tokens of the pieces of such a sentence, at most.

    Raises:
        ValueError: if a single character has more tokens than a unit may have.
    """
    opening = set(headings)
    sections = pairwise(sorted({0, *opening, len(tokens.text)}))
    spans = [
        (*span, begin in opening and not place)
        for begin, end in sections
        for place, span in enumerate(find_sentences(tokens.text, begin, end))
    ]
    units: list[PassageUnit] = []
    for at in range(0, len(spans), TOGETHER):
        some = spans[at : at + TOGETHER]
        found = tokens.starts([tokens.text[start:end] for start, end, _ in some])
        for (start, end, opens), starts in zip(some, found, strict=True):
            if len(starts) <= most:
                units.append(PassageUnit(start, end, len(starts), opens, goes_on=False))
            else:
                pieces = _LongSentence(tokens, start, end, starts).pieces(most, piece)
                units += [
                    PassageUnit(*each, opens and not place, goes_on=place > 0)
                    for place, each in enumerate(pieces)
                ]
    return units


class _LongSentence:
    """A sentence of more tokens than a passage may have."""

    def __init__(self, tokens: TokenCounter, begin: int, end: int, starts: Sequence[int]) -> None:
        self.tokens, self.end = tokens, end
        self.begin = begin
        self.starts = [begin + each for each in starts]

    def pieces(self, most: int, piece: int) -> Iterator[tuple[int, int, int]]:
        """Start, end and tokens of its pieces, in order; see find_units for the bounds."""
        at = self.begin
        while at < self.end:
            stop, held = self._piece(at, most, piece)
            if span := strip_span(self.tokens.text, at, stop):
                yield *span, held
            at = stop

    def _piece(self, at: int, most: int, piece: int) -> tuple[int, int]:
        """Where the piece ends that begins at a place, and its tokens without white space."""
        whole = min(character_end(self.tokens.text, at), self.end)
        room = piece
        while room > 0:
            stop = self._reach(at, room)
            held = self._held(at, stop)
            if held <= piece and stop >= whole:
                return stop, held
            if stop <= whole:
                break
            room -= max(1, held - piece)  # by itself it may have more than within the sentence
        # A character with its marks, however many tokens that has; or without, at the worst.
        for stop in (whole, at + 1):
            if (held := self._held(at, stop)) <= most:
                return stop, held
        raise ValueError(
            f"character {at} has {held} tokens, more than a passage may have; raise passages.tokens"
        )

    def _held(self, at: int, stop: int) -> int:
        span = strip_span(self.tokens.text, at, stop)
        return self.tokens.count(*span) if span else 0

    def _reach(self, at: int, room: int) -> int:
        """The furthest that a piece of so many tokens goes, at least a character."""
        place = bisect_left(self.starts, at)
        if place + room >= len(self.starts):
            return self.end
        half, stop = self.starts[place + room // 2], self.starts[place + room]
        return last_border(self.tokens.text, stop, at, half) if stop > at else at + 1
