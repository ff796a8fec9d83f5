"""The second baseline: rows at random, as long as the selection's.

Length is the commonest hidden driver of a selection, so a selection that does not beat this one has
chosen lengths and nothing else. For each selected row, the longest first, the unused row of the
pool nearest in length is drawn; but every row of the pool has its length first multiplied by a
random factor between 0.95 and 1.05. Without that, a row whose length is rare would always be
matched by itself, and the control would be the selection again. The control is drawn from the whole
pool, selected rows included, as a random selection would be: where nothing else is as long, a row
may still stand for itself.

For telling a method from the lengths it prefers; not for choosing rows to train on. No model.
"""

import numpy as np

from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome, account_for, no_causes
from pipeline.selection.methods.random import random_keys
from scorers.arrays import Floats, Ints, Strings, require_same_length

JITTER = 0.05
"""Share of its length by which a row may stand in for a longer or shorter one."""


class _Unused:
    """The unused places of a sorted pool; finds the nearest on each side in near constant time."""

    def __init__(self, n: int) -> None:
        # Places are 1 ... n; 0 and n + 1 are the ends. Each points to itself while it is unused.
        self._next = list(range(n + 2))
        self._previous = list(range(n + 2))

    @staticmethod
    def _follow(links: list[int], place: int) -> int:
        while links[place] != place:
            links[place] = links[links[place]]  # halves the way for the next who comes by
            place = links[place]
        return place

    def at_or_after(self, place: int) -> int:
        """The first unused place from here up; n + 1 if there is none."""
        return self._follow(self._next, place)

    def at_or_before(self, place: int) -> int:
        """The first unused place from here down; 0 if there is none."""
        return self._follow(self._previous, place)

    def use(self, place: int) -> None:
        """Take a place out."""
        self._next[place] = place + 1
        self._previous[place] = place - 1


def _match(targets: Floats, pool: Floats) -> Ints:
    """Give each target, in turn, the nearest unused place of a sorted pool; (k,) from 0."""
    # Place p of _Unused is pool[p - 1]; the ends are infinitely far, and so are never the nearest.
    padded = np.concatenate(([-np.inf], pool, [np.inf])).tolist()
    unused = _Unused(len(pool))
    indices = []
    for target, start in zip(
        targets.tolist(), np.searchsorted(pool, targets).tolist(), strict=True
    ):
        # `start` rows of the pool are shorter: places 1 to start; the next is as long or longer.
        below, above = unused.at_or_before(start), unused.at_or_after(start + 1)
        place = below if target - padded[below] <= padded[above] - target else above
        unused.use(place)
        indices.append(place - 1)
    return np.array(indices, dtype=np.int64)


def select_length_matched(
    selected: Ints, loss_tokens: Ints, ids: Strings, seed: int = 0, trained: Ints | None = None
) -> Outcome:
    """Draw as many rows as were selected, with nearly the same lengths.

    Args:
        selected: (k,) rows of the pool.
        loss_tokens: (n,) response tokens of every row of the pool.
        ids: (n,) distinct example ids.
        seed: 0 or more.
        trained: (k,) response tokens of the selected rows; None: as in the pool, since each turn
            of theirs is trained.

    Returns:
        k rows, those standing for the longest first; the others are "not_drawn". `because_of` is
        the selected row a drawn one stands for, and the value its loss tokens.

    Raises:
        ValueError: if lengths differ, or a row is selected twice or is not in the pool.
    """
    require_same_length(loss_tokens=loss_tokens, ids=ids)
    n = len(ids)
    if len(np.unique(selected)) != len(selected) or ((selected < 0) | (selected >= n)).any():
        raise ValueError(f"expected distinct rows from 0 to {n - 1}")
    uniform = random_keys(ids, seed, "length_matched") / 2.0**64
    jittered = loss_tokens * (1 + JITTER * (2 * uniform - 1))  # uniform is in [0, 1)
    order = sort_rows(jittered, ids)
    lengths = loss_tokens[selected] if trained is None else trained
    longest_first = sort_rows(-lengths, ids[selected])
    targets, lengths = selected[longest_first], lengths[longest_first]
    picks = order[_match(lengths.astype(np.float64), jittered[order])]
    because_of, value = no_causes(n), np.full(n, np.nan)
    reasons = np.full(n, "not_drawn", dtype=object)
    reasons[picks] = ""
    because_of[picks], value[picks] = targets, lengths
    return account_for(picks, reasons, value, because_of)
