"""Duplicate n-grams: how much of a text stands in runs of words that it has more than once.

    duplicate_ngrams_i = - c(words of any n-gram that text i has twice or more) / c(all words)

c is the number of characters of words, each counted once however many such n-grams it is in; an
n-gram is a run of n words, as scorers/words.py splits and counts them (a Han character is less than
a word). 0: no n-gram comes twice; -1: there is
nothing else. Higher is kept first: the texts that repeat least.

For answers in which a model went round in circles, and for boilerplate. Not for poems, tables and
code, which repeat by design. Gopher dropped documents above 0.15, 0.14, 0.13, 0.12, 0.11 and 0.10
for n = 5 to 10: `at_least: -0.15` for n = 5. Costs no model. A text without a word has no score;
one of fewer than n words has no n-gram to repeat, so it has 0.

Rae et al. 2021, "Scaling Language Models" (Gopher), arXiv:2112.11446. All copies count, the first
too, as in RedPajama-V2's quality signals (arXiv:2411.12372). DataTrove counts those after the first
alone and divides by the characters of all the text, so that the same bound drops less.
"""

from collections import Counter

import numpy as np

from scorers.arrays import Floats, Strings
from scorers.words import runs_of, share_in_runs, split_words


def _repeated(words: list[str], n: int) -> float:
    """Share of the words' characters in runs that come twice; NaN where there is no word."""
    if not words:
        return np.nan
    twice = {run for run, count in Counter(runs_of(words, n)).items() if count > 1}
    return share_in_runs(words, n, twice) if twice else 0.0  # most texts: no need to look again


def score_duplicate_ngrams(text: Strings, *, n: int = 5) -> Floats:
    """Score each text by how little of it stands in repeated runs of words.

    Args:
        text: (n,) texts.
        n: Words of a run, 1 or more.

    Returns:
        (n,) from -1 to 0. NaN where there is no word.

    Raises:
        ValueError: if n is below 1.
    """
    return 0.0 - np.array([_repeated(split_words(each), n) for each in text], dtype=np.float64)
