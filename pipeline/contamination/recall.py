"""Recall on injected leaks: the leaks of leaks.py, given to the same matchers as the rows.

recall = leaks whose own item is among their hits / leaks of that kind
"""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.contamination.leaks import KINDS, Leak, make_leaks
from pipeline.contamination.report import Recall
from pipeline.contamination.search import ItemSearch
from pipeline.contamination.texts import RowBlock, RowTurns
from scorers.arrays import Floats

EmbedRows = Callable[[Sequence[RowTurns]], Floats]
"""Embeds rows as the pool was embedded; (n, d), NaN where a row has no text."""


def measure_recall(
    search: ItemSearch, most: int, short_words: int, seed: int, embed: EmbedRows | None = None
) -> list[Recall]:
    """Inject leaks of every set, and count what the matchers find.

    Args:
        search: the matchers the rows were given to.
        most: leaks of each kind; 0 measures nothing.
        short_words: A prompt of fewer words is short.
        seed: of the draw.
        embed: needed where a matcher compares embeddings.

    Returns:
        A line for each set and kind.
    """
    lines = []
    first = 0  # where the items of the set begin among those of all sets
    for evaluation in search.evaluations if most else ():
        leaks = make_leaks(evaluation.items, most, short_words, seed)
        found = found_by_rule(search, leaks, first, embed)
        for kind in KINDS:
            indices = {place for place, leak in enumerate(leaks) if leak.kind == kind}
            by_rule = {rule: len(indices & hit) for rule, hit in found.items()}
            hit = len(indices & set().union(*found.values()))
            lines.append(Recall(evaluation.name, kind, len(indices), hit, by_rule))
        first += len(evaluation.items)
    return lines


def found_by_rule(
    search: ItemSearch, leaks: Sequence[Leak], first: int, embed: EmbedRows | None
) -> dict[str, set[int]]:
    """Rule → the leaks it finds; `first` is the place of the set's first item among all items."""
    rows = [leak.row for leak in leaks]
    vectors: Floats | None = embed(rows) if embed and rows else np.empty((0, 0))
    block = RowBlock([str(place) for place in range(len(rows))], rows, vectors)
    found: dict[str, set[int]] = {matcher.rule: set() for matcher in search.matchers}
    # A hit of another item does not count: that the leak looks like something is no find.
    for match in search.matches(block) if rows else ():
        if match.item == first + leaks[match.row].item:
            found[match.rule].add(match.row)
    return found
