r"""Edit distance: how many characters must change to make one text another.

    similarity(a, b) = 1 - distance(a, b) / max(|a|, |b|)

Equal texts have 1, two empty ones too; texts with no character in common have 0.

Levenshtein 1966. A column of the table is held in the bits of two whole numbers (Myers 1999, in
the form of Hyyrö 2003): a step for each character of one text, whatever the length of the other.
"""


def edit_distance(first: str, second: str) -> int:
    """The fewest edits, of one character each, that make the first text the second."""
    if not first:
        return len(second)
    places: dict[str, int] = {}
    for at, sign in enumerate(first):
        places[sign] = places.get(sign, 0) | 1 << at
    whole, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    # Bit i: whether row i + 1 of the table is one more than row i, or one less, in this column.
    more, less, distance = whole, 0, len(first)
    for sign in second:
        met = places.get(sign, 0)
        level = (((met & more) + more) ^ more) | met | less
        grown = (less | ~(level | more)) & whole
        shrunk = more & level
        distance += bool(grown & last) - bool(shrunk & last)
        grown = (grown << 1 | 1) & whole  # row 0 grows by one with each character
        shrunk = (shrunk << 1) & whole
        more = (shrunk | ~(level | grown)) & whole
        less = grown & level
    return distance


def edit_similarity(first: str, second: str) -> float:
    """1 minus the distance as a share of the longer text."""
    longer = max(len(first), len(second))
    return 1.0 if not longer else 1 - edit_distance(first, second) / longer
