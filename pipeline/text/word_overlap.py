r"""Word overlap: how much of two texts is the same words in the same order, as ROUGE-L has it.

    P = lcs(c, r) / |c|      R = lcs(c, r) / |r|      F = 2 P R / (P + R)

c is the candidate, r the reference, both as words without case and signs, and lcs the length of
their longest common subsequence. A candidate "a b" against the reference "a b c d" has P = 1,
R = 0.5 and F = 0.667. A text without a word has 0 of all three. P tells how much of the candidate
was there before, R how much of the reference is found again; only F is the same both ways round.

ROUGE-L: Lin 2004, aclanthology.org/W04-1013. Words are not stemmed, as in Self-Instruct's code. The
subsequence is found by the bits of whole numbers (Hyyrö 2004), some microseconds for a pair.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class WordOverlap(NamedTuple):
    """ROUGE-L of a candidate against a reference, each in [0, 1]."""

    precision: float
    recall: float
    f: float


def overlap_of(candidate: Sequence[str], reference: Sequence[str]) -> WordOverlap:
    """ROUGE-L of two texts, given as words."""
    if not candidate or not reference:
        return WordOverlap(0.0, 0.0, 0.0)
    common = common_words(candidate, reference)
    f = 2 * common / (len(candidate) + len(reference))
    return WordOverlap(common / len(candidate), common / len(reference), f)


def common_words(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    whole = (1 << len(first)) - 1
    row = whole
    for word in second:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & whole
    return len(first) - row.bit_count()


def is_near_any(
    words: Sequence[str], others: Sequence[Sequence[str]], similarity_above: float
) -> bool:
    """Whether the F of words with any of the others is above a bound; the bound itself is not.

    The subsequence is looked for only where the words, whatever their order, leave room for it.
    """
    counts = Counter(words)
    for other in others:
        most = (counts & Counter(other)).total()
        if 2 * most > similarity_above * (len(words) + len(other)) and (
            overlap_of(words, other).f > similarity_above
        ):
            return True
    return False
