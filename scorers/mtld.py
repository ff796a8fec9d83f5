"""MTLD, the measure of textual lexical diversity: how many words a text goes on before it repeats.

    mtld_i = 1/2 * (words_i / factors(w_1 … w_m) + words_i / factors(w_m … w_1))

A factor is a run of words that ends where its ratio of different words to words falls below
`threshold`; the next word starts another. What is left at the end, of a ratio r, counts as
(1 - r) / (1 - threshold) of a factor. Read forwards and backwards, and averaged. Below 20: the same
words again and again; English prose lies around 40 to 110. Higher is kept first: richer wording.

For comparing texts of different lengths, which the type-token ratio cannot. Not for short ones: in
less than a factor's length there is only the remainder to go by, so texts of fewer than
`least_words` words have no score, nor has one in which no word comes twice. The paper's shortest
texts had 100 words; the bound of 50 here is a choice of our own. Costs no model.

McCarthy and Jarvis 2010, "MTLD, vocd-D, and HD-D", doi:10.3758/BRM.42.2.381. Words are those of
scorers/words.py, not lemmas; in scripts without spaces they are characters, which repeat sooner,
so compare within a script. Some code lets no factor end before its tenth word; the paper's own
example ends one at the sixth.
"""

from collections.abc import Iterable

import numpy as np

from scorers.arrays import Floats, Strings
from scorers.words import count_words, split_words


def _factors(words: Iterable[str], threshold: float) -> float:
    """Runs that end below the threshold, and the part of one that is left."""
    factors, length = 0.0, 0
    types: set[str] = set()
    for word in words:
        types.add(word)
        length += 1  # the word that breaks the ratio is the last of its factor
        if len(types) < threshold * length:  # multiplied out: no quotient to round
            factors += 1
            types, length = set(), 0
    return factors + (1 - len(types) / length) / (1 - threshold) if length else factors


def _mtld(words: list[str], threshold: float, least_words: int) -> float:
    """The measure of one text; NaN where it has none."""
    # Without a repetition there is no factor and no part of one: nothing to divide by.
    if not words or count_words(words) < least_words or len(set(words)) == len(words):
        return np.nan
    forwards, backwards = _factors(words, threshold), _factors(reversed(words), threshold)
    return len(words) * (1 / forwards + 1 / backwards) / 2


def score_mtld(text: Strings, *, threshold: float = 0.72, least_words: int = 50) -> Floats:
    """Score each text by the mean length of its factors.

    Args:
        text: (n,) texts.
        threshold: Ratio of different words below which a factor ends, above 0 and below 1.
        least_words: Shorter texts have no score.

    Returns:
        (n,) words. NaN where a text is short or no word of it comes twice.

    Raises:
        ValueError: if the threshold is out of range.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is a ratio above 0 and below 1, got {threshold:g}")
    values = [_mtld(split_words(each), threshold, least_words) for each in text]
    return np.array(values, dtype=np.float64)
