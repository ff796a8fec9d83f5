"""The baseline: rows at random, the same ones for the same seed.

A row's place is a hash of the seed and its example_id. So it depends on no other row: rows that
come or go leave the order of the rest as it was, and one night's new rows do not reshuffle a month
of selections.

For holding every other method against, with several seeds; and the choice itself where no method
beats it, which is common. Not for mending a pool: it keeps its mixture, faults included. No model.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.ranking.budget import Budget, within_budget
from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.step import RankStep
from scorers.arrays import Ints, Strings


def random_keys(ids: Iterable[str], seed: int, purpose: str) -> NDArray[np.uint64]:
    """Draw a uniform 64-bit number for each example.

    Args:
        ids: (n,) example ids.
        seed: 0 or more.
        purpose: The method that draws, at most 16 letters: two methods with one seed must not draw
            the same rows, or a control would be correlated with what it controls.

    Returns:
        (n,) numbers.
    """
    # A copy knows the key already: half of what it costs to begin with one anew.
    keyed = blake2b(digest_size=8, key=str(seed).encode(), person=purpose.encode())
    digests = []
    for example_id in ids:
        drawn = keyed.copy()
        drawn.update(example_id.encode())
        digests.append(drawn.digest())
    # "<u8": the bytes mean the same number on a machine that puts the highest byte first.
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def select_random(
    ids: Strings, budget: Budget, loss_tokens: Ints | None = None, seed: int = 0
) -> Outcome:
    """Pick rows uniformly without replacement, as far as the budget goes.

    With `Budget(rows=k)` it is the size-matched control of a selection of k rows. With one seed, a
    larger budget adds rows and drops none.

    Args:
        ids: (n,) distinct example ids.
        budget: The limit; rows beyond it are "over_budget".
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.
        seed: 0 or more.

    Returns:
        The picks in the order drawn; no values.

    Raises:
        ValueError: if the budget needs tokens that are not given.
    """
    order = sort_rows(random_keys(ids, seed, "random"), ids)
    picks = within_budget(order, budget, len(ids), loss_tokens)
    reasons = np.full(len(ids), "over_budget", dtype=object)
    reasons[picks] = ""
    return account_for(picks, reasons, np.full(len(ids), np.nan))


class Random(RankStep):
    """Rows at random: what every method has to beat."""

    method: Literal["random"]

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Draw uniformly."""
        return select_random(rows.ids, self.budget.budget(), rows.loss_tokens, seed)
