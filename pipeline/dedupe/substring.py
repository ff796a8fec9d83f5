"""Rows that share a long passage word for word, whatever else they say.

    shared(a, b) = words of the longest run that stands in both a and b
    share(a, b)  = share of a's words that lie in runs of `words` words or more that b has as well

A row goes if a row that is kept shares `words` words with it in one run, 50 if not given; or, with
a `share`, if runs as long as that cover at least such a share of it. It goes because of one kept
row: runs of two kept rows are not added up. The value is shared(a, b), or share(a, b) where that
decides. What a word is, is said in compared_words.py: case
and punctuation do not matter, and in scripts without spaces several characters are one.

Use it for what MinHash cannot see: a licence text or a quoted article around different questions.
Whole rows go, so do not use it where a passage is meant to be there many times, as a shared context
with a question each; a `share` near 1 spares those. What preambles.py leaves out, such as a system
prompt, is not compared unless `preamble: compare` says so. A row of fewer than `words` words is
never a copy here: `minhash` is for short ones.

Every run is found, none estimated: a suffix array (pipeline/text/suffix_array.py) tells which
places begin with the same `words` words. Sorting takes about a second for two million words. With
a `share`, passages that many kept rows have are compared with each of them. The released code of
the paper cuts the passages out of the text and leaves the rows, at 50 tokens of a model.

Lee et al. 2022, "Deduplicating training data makes language models better", arXiv:2107.06499.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.dedupe.clusters import remove_duplicates
from pipeline.dedupe.preambles import PREAMBLE, PreambleRule, RowTexts
from pipeline.dedupe.shared_windows import (
    WindowLengths,
    covered_text,
    longest_runs,
    number_words,
    shared_windows,
)
from pipeline.dedupe.step import DedupeStep
from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates
from pipeline.text.word_windows import window_ends
from scorers.arrays import Floats, Ints, Strings
from scorers.words import WORD
from storage.conversations import TextField

SPAN_WORDS = 50


def remove_shared_spans(
    texts: Iterable[str],
    keep_scores: Floats,
    ids: Strings,
    words: int = SPAN_WORDS,
    share: float | None = None,
) -> Outcome:
    """Keep every text that shares no long run of words with a text kept before it.

    Args:
        texts: (n,) texts.
        keep_scores: (n,) of two copies the higher one stays; NaN counts as lowest.
        ids: (n,) distinct example ids; the lower one wins a tie.
        words: Words in a run, at least.
        share: Share of a text's words, above 0 and at most 1, that such runs in one kept text must
            cover for the text to go; None: one run is enough.

    Returns:
        The rows kept, in keep order. The others are "shared_span" of `because_of`, the kept row
        with which they share most, the one kept first in a tie. The value is the words of the
        longest run, or the share that is covered where there is a `share`.

    Raises:
        ValueError: if lengths differ, a keep score is infinite, or `words` or `share` is out of
            range.
    """
    if words < 1 or (share is not None and not 0 < share <= 1):
        raise ValueError(
            f"words must be 1 or more, and share above 0 and at most 1; got {words} and {share}"
        )
    tokens, starts, weights = number_words(texts)
    if len(starts) - 1 != len(ids):
        raise ValueError(f"{len(starts) - 1} texts but {len(ids)} ids")
    search = _SpanSearch(tokens, starts, weights, (words, share))
    return remove_duplicates(search, keep_scores, ids, "shared_span")


class _SpanSearch:
    """Looks up the windows of a row among those of the kept rows."""

    def __init__(
        self,
        tokens: NDArray[np.uint32],
        starts: Ints,
        weights: Ints,
        rule: tuple[int, float | None],
    ) -> None:
        words, self._share = rule
        self._starts = starts
        ends = window_ends(weights, starts, words)
        self._places, self._windows = shared_windows(tokens, starts, ends)
        before = np.concatenate(([0], np.cumsum(weights)))  # (m + 1,) weight before each place
        self._text = WindowLengths(np.cumsum(weights > 0), before[:-1], before[ends])
        self._lengths = np.diff(before[starts])  # (n,)
        self._borders = np.searchsorted(self._places, starts)  # (n + 1,) a row's own places
        self._kept: dict[int, list[int]] = {}  # window → its places in kept rows
        self._turns: dict[int, int] = {}  # kept row → its number in the order kept

    def closest(self, row: int) -> tuple[int, float] | None:
        """The kept row that shares most, if that is enough; the first kept in a tie."""
        here, there = self._pairs(row)
        if not len(here):
            return None
        rows = np.searchsorted(self._starts, there, side="right") - 1
        if self._share is None:
            runs = longest_runs(here, there, rows, self._text)
            found = {other: run / WORD for other, run in runs.items()}
        else:
            covered = covered_text(here, rows, self._text)
            length = int(self._lengths[row])
            found = {other: part / length for other, part in covered.items()}
            found = {other: part for other, part in found.items() if part >= self._share}
        if not found:
            return None
        return min(found.items(), key=lambda each: (-each[1], self._turns[each[0]]))

    def keep(self, row: int) -> None:
        """Add a row to those kept."""
        self._turns[row] = len(self._turns)
        for place, window in zip(*self._of(row), strict=True):
            self._kept.setdefault(window, []).append(place)

    def _of(self, row: int) -> tuple[list[int], list[int]]:
        """Places and windows of a row that another row shares."""
        mine = slice(self._borders[row], self._borders[row + 1])
        return self._places[mine].tolist(), self._windows[mine].tolist()

    def _pairs(self, row: int) -> tuple[Ints, Ints]:
        """Places of the row, and places in kept rows with the same window."""
        pairs = [
            (place, other)
            for place, window in zip(*self._of(row), strict=True)
            for other in self._kept.get(window, ())
        ]
        columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)  # (0, 2) where there are none
        return columns[:, 0], columns[:, 1]


class Substring(DedupeStep):
    """Rows that share a long passage word for word."""

    method: Literal["substring"]
    text: TextField = Field(default="both", description="The text that is compared.")
    words: int = Field(
        default=SPAN_WORDS,
        gt=0,
        description="Words of a shared passage, at least; without spaces, as many characters as "
        "say as much.",
    )
    preamble: PreambleRule = PREAMBLE
    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of a row's words that such passages in one other row must cover for it "
        "to go; one passage is enough if not given.",
    )

    def label(self) -> str:
        """What is compared."""
        share = "" if self.share is None else f", over {self.share:g} of the row"
        return f"substring on {self.text}, of {self.words} words{share}"

    def remove(self, rows: Candidates, keep_scores: Floats) -> Outcome:
        """Compare passages."""
        parted = RowTexts(rows, self.text, self.preamble).parted(np.arange(len(rows)))
        texts = [each.text for each in parted]
        return remove_shared_spans(texts, keep_scores, rows.ids, self.words, self.share)
