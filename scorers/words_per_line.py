"""Words per line: whether a text is prose or a heap of short lines.

    words_per_line_i = words_i / lines_i

words_i is the number of words of the text and lines_i that of lines that are not blank, both as
scorers/words.py splits them; in scripts without spaces several characters are one word, as many as
say as much as a word of English. 1: a list of single words; 50: paragraphs. Higher is kept first.

For menus, tables of contents, cut-off lists and other rests of a web page. Not for poems, code or
lists that were asked for. C4 kept only lines of a few words and more, FineWeb dropped documents
whose lines are mostly short. Costs no model. An empty text has no score.

Raffel et al. 2019, "Exploring the Limits of Transfer Learning" (C4), arXiv:1910.10683; Penedo et
al. 2024, "The FineWeb Datasets", arXiv:2406.17557. Both look at each line; this is the mean.
"""

from scorers.arrays import Floats, Strings, ratio
from scorers.words import count_words, split_lines, split_words


def score_words_per_line(text: Strings) -> Floats:
    """Score each text by the mean length of its lines.

    Args:
        text: (n,) texts.

    Returns:
        (n,) words, 0 or more. NaN where there is no line.
    """
    words = [count_words(split_words(each)) for each in text]
    return ratio(words, [len(split_lines(each)) for each in text])
