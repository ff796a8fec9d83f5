"""What a trace finds: runs of a completion that stand in rows, and where."""

from dataclasses import dataclass

import numpy as np

from pipeline.text.suffix_array import PARTS
from scorers.arrays import Ints

COMMON = 50  # a span that stands more often than this is a common phrase
NAMED = 10  # places that are named of a common phrase: the first by example_id, which is a hash


@dataclass(frozen=True, slots=True)
class TokenRun:
    """A run of the completion's tokens that stands in the rows."""

    first: int  # number of its first token
    end: int  # and of the first behind it
    words: int
    interval: tuple[int, int]  # where its places are in the suffix array

    @property
    def count(self) -> int:
        """How often it stands in the rows."""
        return self.interval[1] - self.interval[0]

    @property
    def common(self) -> bool:
        """Whether it is a common phrase."""
        return self.count > COMMON


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """A span that is reported."""

    match: TokenRun
    start: int  # where it stands in the completion, in characters
    end: int
    log_probability: float
    parts: Ints  # (p,) the parts of rows that have it, as the index numbers them
    rows: Ints  # (k,) the rows that have it, in their order
    idf: float
    positions: Ints  # (p,) where it first stands in each of the parts

    def named(self) -> tuple[Ints, Ints]:
        """Parts and positions to name: all, or of a common phrase those of the first rows."""
        if not self.match.common:
            return self.parts, self.positions
        first = np.isin(self.parts // len(PARTS), self.rows[:NAMED])  # part 2 r and 2 r + 1: row r
        return self.parts[first], self.positions[first]
