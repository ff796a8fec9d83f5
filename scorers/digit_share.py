"""Digit share: how much of a text is digits.

    digit_share_i = - d_i / v_i

d_i is the number of decimal digits of any script and v_i that of characters that are not white
space. 0: no digit; -1: nothing else. Higher is kept first: the texts with the fewest digits.

For tables of figures, page numbers, logs and lists of telephone numbers. Not for data about
mathematics or money, whose digits are the point. RefinedWeb drops lines of digits alone. Costs no
model. An empty text has no score.

Penedo et al. 2023, "The RefinedWeb Dataset", arXiv:2306.01116, for lines; of a whole text it is a
statistic of Data-Juicer's kind, arXiv:2309.02033.
"""

import re

from scorers.arrays import Floats, Strings, ratio
from scorers.words import count_visible

DIGITS = re.compile(r"\d+")


def score_digit_share(text: Strings) -> Floats:
    """Score each text by how few of its characters are digits.

    Args:
        text: (n,) texts.

    Returns:
        (n,) from -1 to 0. NaN where there is nothing but white space.
    """
    digits = [sum(map(len, DIGITS.findall(each))) for each in text]
    return 0.0 - ratio(digits, [*map(count_visible, text)])  # not -x, which turns 0 into -0
