"""Prompt copying: how much of a response was there in its prompt already.

    prompt_copying_i = - c(response's words in n-grams that the prompt has) / c(response's words)

c is the number of characters of words, each counted once however many such n-grams it is in; an
n-gram is a run of n words, as scorers/words.py splits and counts them (a Han character is less than
a word). 0: nothing is copied; -1: all of it is.
Higher is kept first: the responses that say most of their own.

For answers that hand the question back. Not for extraction, correction, translation of terms or
anything else where copying is the task. Costs no model. A response without a word has no score; one
of fewer than n words has no n-gram to copy, so it has 0.

Grusky et al. 2018, "Newsroom", arXiv:1804.11283: coverage by extractive fragments. There a fragment
is the longest shared run, of a single word too; here it has n words or more, so that "the" is none.
"""

import numpy as np

from scorers.arrays import Floats, Strings, require_same_length
from scorers.words import runs_of, share_in_runs, split_words


def _copied(prompt: str, response: str, n: int) -> float:
    """Share of the response's characters in runs of the prompt; NaN where it has no word."""
    words = split_words(response)
    return share_in_runs(words, n, set(runs_of(split_words(prompt), n))) if words else np.nan


def score_prompt_copying(prompt: Strings, response: Strings, *, n: int = 4) -> Floats:
    """Score each response by how little of it is copied from its prompt.

    Args:
        prompt: (n,) texts.
        response: (n,) texts.
        n: Words of a run, 1 or more.

    Returns:
        (n,) from -1 to 0. NaN where the response has no word.

    Raises:
        ValueError: if the columns differ in length, or n is below 1.
    """
    require_same_length(prompt=prompt, response=response)
    copied = [_copied(*pair, n) for pair in zip(prompt, response, strict=True)]
    return 0.0 - np.array(copied, dtype=np.float64)  # not -x, which turns 0 into -0
