r"""Pairs of texts that are nearly the same: the most alike are merged, and one of each stays.

    S(i, j) = similarity(question_i, question_j) similarity(answer_i, answer_j)

by edit distance (pipeline/text/edit_distance.py). Of n items the floor(share n) pairs with the
highest S above 0 are merged, of equal ones those that come first, and all that are the same in
both texts; what hangs together through such pairs is one, of which the first stays.

SciLitLLM: Li et al. 2024, arXiv:2408.15545, whose formula has distances in place of similarities;
its code has these. It merges its share also where nothing is alike, and counts each pair twice.
"""

from collections.abc import Sequence
from itertools import combinations

from pipeline.text.edit_distance import edit_similarity


def first_of_alike(pairs: Sequence[tuple[str, str]], share: float) -> list[int]:
    """For each item the place of the one that stays for it; its own where it stays itself.

    Args:
        pairs: (n,) question and answer of each.
        share: how many pairs are merged, of n.
    """
    # Here: recipes are read without it, and it takes as long to import as all other makers.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    alike = [
        (
            edit_similarity(pairs[i][0], pairs[j][0]) * edit_similarity(pairs[i][1], pairs[j][1]),
            i,
            j,
        )
        for i, j in combinations(range(len(pairs)), 2)
    ]
    ranked = sorted(alike, key=lambda each: (-each[0], each[1:]))
    most = int(share * len(pairs))
    merged = [(i, j) for n, (s, i, j) in enumerate(ranked) if s == 1 or (n < most and s > 0)]
    rows, columns = ([pair[side] for pair in merged] for side in (0, 1))
    graph = coo_array(([1] * len(merged), (rows, columns)), shape=(len(pairs), len(pairs)))
    _, parts = connected_components(graph, directed=False) if pairs else (0, [])
    first: dict[int, int] = {}
    return [first.setdefault(int(part), at) for at, part in enumerate(parts)]
