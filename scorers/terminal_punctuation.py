"""Terminal punctuation: how many of a text's lines end like a sentence.

    terminal_punctuation_i = ended_i / lines_i

lines_i is the number of lines that are not blank and ended_i of those whose last character, behind
closing brackets and the asterisks of markup, ends a sentence in its script (. ! ? … and their like)
or is a quotation mark. 1: all of them; 0: none. Higher is kept first: the most complete lines.

For texts that were cut off, and for navigation among prose. Not for code, verse and lists, nor for
scripts that do not mark the end of a sentence, such as Thai: all of these have low values. C4 kept
only lines that end so, FineWeb documents above 0.12. Costs no model. An empty text has no score.

Raffel et al. 2019, "Exploring the Limits of Transfer Learning" (C4), arXiv:1910.10683; Penedo et
al. 2024, "The FineWeb Datasets", arXiv:2406.17557.
"""

from scorers.arrays import Floats, Strings, ratio
from scorers.words import split_lines

ENDS = (
    *".!?\u2026",
    *"\u3002\uff01\uff1f\uff61\uff0e",  # Chinese and Japanese, full-width
    *"\u061f\u06d4",  # Arabic, Urdu
    *"\u0964\u0965",  # Hindi and its like
    *"\u1362\u0589\u104a\u104b\u17d4\u17d5",  # Ethiopic, Armenian, Burmese, Khmer
    *"\"'\u201d\u2019\xbb\u203a\u201c\u2018\xab\u300d\u300f",  # quotation marks
)
"""What a line that ends a sentence ends in."""

CLOSERS = ")]}*_\uff09\u3011\u3015\u300b"
"""What may follow it: brackets, and the marks of bold and italic text."""


def score_terminal_punctuation(text: Strings) -> Floats:
    """Score each text by the share of its lines that end in terminal punctuation.

    Args:
        text: (n,) texts.

    Returns:
        (n,) from 0 to 1. NaN where there is no line.
    """
    lines = [split_lines(each) for each in text]
    ended = [sum(line.rstrip(CLOSERS).endswith(ENDS) for line in each) for each in lines]
    return ratio(ended, [*map(len, lines)])
