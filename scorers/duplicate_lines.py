"""Duplicate lines: how much of a text stands in lines that it has more than once.

    duplicate_lines_i = - c(lines that text i has twice or more) / c(all lines)

c is the number of characters; lines are compared without white space at their ends, and blank ones
do not count. 0: no line comes twice; -1: every line does. Higher is kept first.

For lists that a model could not end, and for pasted boilerplate. Not for code, whose closing
brackets are lines, though by characters they weigh little. Gopher dropped documents above 0.2 and
FineWeb those above 0.1: `at_least: -0.2`, or -0.1. Costs no model. An empty text has no score.

Rae et al. 2021, "Scaling Language Models" (Gopher), arXiv:2112.11446; Penedo et al. 2024, "The
FineWeb Datasets", arXiv:2406.17557. Here all copies count, the first too: one line over and over
is -1. DataTrove counts those after the first alone, so that the same bound drops less.
"""

from collections import Counter

from scorers.arrays import Floats, Strings, ratio
from scorers.words import split_lines


def _repeated(lines: list[str]) -> int:
    """Characters in lines that come twice or more."""
    return sum(len(line) * count for line, count in Counter(lines).items() if count > 1)


def score_duplicate_lines(text: Strings) -> Floats:
    """Score each text by how little of it stands in repeated lines.

    Args:
        text: (n,) texts.

    Returns:
        (n,) from -1 to 0. NaN where there is no line.
    """
    lines = [split_lines(each) for each in text]
    repeated, whole = map(_repeated, lines), (sum(map(len, each)) for each in lines)
    return 0.0 - ratio([*repeated], [*whole])  # not -x, which turns 0 into -0
