"""Special characters: how much of a text is neither letters nor digits.

    special_characters_i = - (v_i - a_i) / v_i

v_i is the number of characters that are not white space and a_i that of letters, combining marks
and digits of any script among them. 0: no punctuation at all; -1: nothing else. Higher is kept
first: the texts with the fewest.

For broken markup, rows of underscores, tables without content and the debris of extraction. Not for
a ranking of good texts: prose has its full stops, mathematics and code have far more. As a bound it
finds the odd ones: look at what lies below -0.3. Costs no model. An empty text has no score.

Laurençon et al. 2023, the ROOTS corpus, arXiv:2303.03915, where digits and white space count as
special too, and Data-Juicer, arXiv:2309.02033; here digits have a score, `digit_share`.
"""

from scorers.arrays import Floats, Strings, ratio
from scorers.words import count_visible, find_words


def score_special_characters(text: Strings) -> Floats:
    """Score each text by how few of its characters are neither letters nor digits.

    Args:
        text: (n,) texts.

    Returns:
        (n,) from -1 to 0. NaN where there is nothing but white space.
    """
    visible = [*map(count_visible, text)]
    # Words have letters, marks, digits and the underscore, which is special here.
    plain = [sum(map(len, find_words(each.replace("_", " ")))) for each in text]
    return 0.0 - ratio(
        [v - p for v, p in zip(visible, plain, strict=True)], visible
    )  # not -x, which turns 0 into -0
