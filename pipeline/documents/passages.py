"""Passages: a text cut at headings and sentences, each piece at most so many tokens.

Every character that is no white space is in a passage, and `text[start:end]` is the passage. Those
that follow each other overlap by at most as many tokens as asked, by whole sentences where these
are short enough. A heading ends a passage that has the least tokens; a shorter one goes on past it.
A sentence of more tokens than a passage may have is cut between tokens and between characters, at
white space where there is some. All follows from the text, the settings and the tokenizer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.documents.units import TokenCounter, TokenStarts, find_units

PIECES = 4
"""Pieces of a long sentence that fill a passage: it then goes with what stands before it."""


@dataclass(frozen=True, slots=True)
class PassageSize:
    """How large passages are, in tokens of the tokenizer they are cut with."""

    tokens: int  # at most
    overlap: int  # at most, with the passage before; fewer than `tokens`
    least: int  # below which a passage goes on past a heading

    @property
    def new(self) -> int:
        """Tokens of a passage besides its overlap."""
        return self.tokens - self.overlap


class PassageSpan(NamedTuple):
    """Where a passage stands in its text."""

    start: int  # characters
    end: int
    tokens: int


def cut_passages(
    text: str, headings: Sequence[int], size: PassageSize, starts: TokenStarts
) -> list[PassageSpan]:
    """The passages of a text, in order.

    Args:
        text: of the document.
        headings: offsets at which its headings begin, rising.
        size: how large they are.
        starts: the tokenizer.

    Raises:
        ValueError: if a single character has more tokens than a passage may have.
    """
    packing = _Packing(TokenCounter(text, starts), headings, size)
    passages: list[PassageSpan] = []
    first = 0
    for end in packing.ends():
        passages.append(packing.passage(first, end, passages[-1] if passages else None))
        first = end
    return passages


class _Packing:
    """Units on their way into passages."""

    def __init__(self, tokens: TokenCounter, headings: Sequence[int], size: PassageSize) -> None:
        self.tokens, self.size = tokens, size
        self.units = find_units(tokens, headings, size.tokens, max(1, size.new // PIECES))

    def held(self, first: int, end: int) -> int:
        """Tokens from one unit to before another."""
        return self.tokens.count(self.units[first].start, self.units[end - 1].end)

    def ends(self) -> list[int]:
        """By the end of each passage, how many units are in passages."""
        ends = [0]
        while ends[-1] < len(self.units):
            ends.append(self._fill(ends[-1]))
        self._even_out(ends)
        return ends[1:]

    def _fill(self, first: int) -> int:
        """Where the passage ends that begins with a unit: as late as may be."""
        units = self.units
        room = self.size.tokens if first == 0 or units[first].opens else self.size.new
        end, held = first + 1, units[first].tokens
        while end < len(units) and held + units[end].tokens <= room:
            if units[end].opens and held >= self.size.least:
                return self._shrink(first, end, room)
            held += units[end].tokens
            end += 1
        end = self._shrink(first, end, room)
        # A heading stands with what it is of.
        if first + 1 < end < len(units) and units[end - 1].opens and not units[end].opens:
            return end - 1
        return end

    def _shrink(self, first: int, end: int, room: int) -> int:
        """The same end, or an earlier one: white space between units has tokens as well."""
        while end > first + 1 and self.held(first, end) > room:
            end -= 1
        return end

    def _even_out(self, ends: list[int]) -> None:
        """Bring the last passage to the least: all of it, or some, goes with the one before."""
        if len(ends) < 3 or self.held(ends[-2], ends[-1]) >= self.size.least:
            return
        first, border, last = ends[-3:]
        if self.held(first, last) <= self.size.new:
            del ends[-2]
            return
        while not self.units[border].opens and self.held(border, last) < self.size.least:
            border -= 1
            lacking = border <= first or self.held(first, border) < self.size.least
            if lacking or self.held(border, last) > self.size.new:
                return
        ends[-2] = border

    def passage(self, first: int, end: int, before: PassageSpan | None) -> PassageSpan:
        """The passage of some units, with what it shares with the one before."""
        stop = self.units[end - 1].end
        starts = self._overlaps(first, before) if before and not self.units[first].opens else ()
        for start in starts:
            if (held := self.tokens.count(start, stop)) <= self.size.tokens:
                return PassageSpan(start, stop, held)
        start = self.units[first].start
        return PassageSpan(start, stop, self.tokens.count(start, stop))

    def _overlaps(self, first: int, before: PassageSpan) -> Iterator[int]:
        """Where the passage of a unit may begin within the one before, the furthest first."""
        starts: list[int] = []
        held = 0
        for place in range(first - 1, -1, -1):
            unit = self.units[place]
            held += unit.tokens
            if held > self.size.overlap or unit.start <= before.start or unit.goes_on:
                break
            starts.append(unit.start)
            if unit.opens:
                break
        for start in reversed(starts):
            if self.tokens.count(start, before.end) <= self.size.overlap:
                yield start
        if self.units[first].goes_on and not starts:  # within a long sentence: its last words
            most = self.size.overlap
            while (start := self.tokens.tail(before.start, before.end, most)) < before.end:
                yield start
                most //= 2
