"""Type-token ratio: how much of a text's wording is not a repetition.

    type_token_ratio_i = types_i / words_i

words_i is the number of words of the text and types_i that of different ones among them, as
scorers/words.py splits them: characters, in scripts without spaces. 1: no word comes twice; near 0:
few words over and over. Higher is kept first: the wording that repeats least.

For finding answers that go round in circles, among texts of like length and script. Not for a
ranking of texts of different lengths: every text repeats "the" in the end, so the ratio falls with
length; `mtld` does not. Costs no model. A text without a word has no score.

McCarthy and Jarvis 2010, doi:10.3758/BRM.42.2.381, on this ratio and what mends it.
"""

from scorers.arrays import Floats, Strings, ratio
from scorers.words import split_words


def score_type_token_ratio(text: Strings) -> Floats:
    """Score each text by the share of its words that are different.

    Args:
        text: (n,) texts.

    Returns:
        (n,) above 0, at most 1. NaN where there is no word.
    """
    words = [split_words(each) for each in text]
    return ratio([len(set(each)) for each in words], [*map(len, words)])
