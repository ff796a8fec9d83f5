"""Q-Tuning's first stage: keep the misconceptions and the calibration samples of the error plane.

    Q2_i = [PPL_i > q(PPL, 1 - a)] and [H_i < q(H, a)]        misconception: sure, and wrong
    Q4_i = [PPL_i < q(PPL, a)]     and [H_i > q(H, 1 - a)]    calibration: right, and unsure

PPL is the perplexity of the response, H its mean entropy, q the quantile over all rows. The other
corners go: high in both is harmful noise (Q1), low in both redundant (Q3). The cut a, from 0 to
0.49, is found by bisection so that Q2 and Q4 together hold the share asked for. What they cannot
supply is filled up with the other rows of the largest |PPL' - H'|, each scaled to 0 … 1 over all
rows (PPL clipped at exp(20)), so that the share is met exactly: floor(share * n). The number stored
with a decision is PPL' - H': above 0 towards misconception, below towards calibration.

Perplexity and entropy go together in most models: for Gaussian ranks with a correlation of 0.7 the
two corners can supply 23 % of the rows and no more, whatever the share. The rest is the fill, which
the paper gives less thought to; how much it was stands in the notes of the step. Read it. The paper
scales within a mini-batch, here it is over all rows: there a single enormous perplexity brings all
other PPL' near to 0, and the fill is then the rows of the highest entropy, whose PPL' - H' is below
0. So the notes also say to which side the filled rows lie.

What it is for: fewer rows for the same training, where losses with entropies are stored anyway.
The paper prunes each mini-batch by the model as it is at that moment; this is the same choice once,
over the pool, by the untrained model, and the paper's numbers do not speak for it. Its second
stage, which deletes single tokens of Q2 responses, is the trainer's and is not here. GRAPE prefers
low perplexity, IFD a high ratio, this both ends: do not blend them into one number. It costs a
sort.

Q-Tuning, 2025, arXiv:2509.23873.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import Filter
from pipeline.settings import Share
from scorers.arrays import Floats, Strings, require_same_length

WIDEST_CUT = 0.49  # below a half, or the low side and the high side would share rows
HALVINGS = 30
"""The paper finds fewer than ten enough, for a mini-batch of rows."""

HIGHEST_PERPLEXITY = float(np.exp(20.0))


def corners(perplexity: Floats, entropy: Floats, cut: float) -> NDArray[np.bool_]:
    """Say which rows are misconceptions or calibration samples at a cut.

    Args:
        perplexity: (n,) none of them NaN.
        entropy: (n,) none of them NaN.
        cut: The share of the rows on either side that counts as high or low, from 0 to 0.49.

    Returns:
        (n,) Q2 or Q4; a wider cut has every row of a narrower one.
    """
    low_ppl, high_ppl = np.quantile(perplexity, (cut, 1 - cut))
    low_entropy, high_entropy = np.quantile(entropy, (cut, 1 - cut))
    misconception = (perplexity > high_ppl) & (entropy < low_entropy)
    calibration = (perplexity < low_ppl) & (entropy > high_entropy)
    return np.asarray(misconception | calibration, dtype=np.bool_)


def widest_within(perplexity: Floats, entropy: Floats, most: int) -> NDArray[np.bool_]:
    """The corners (n,) at the widest cut that gives at most so many rows, by bisection."""
    narrow, wide = 0.0, WIDEST_CUT
    for _ in range(HALVINGS):
        cut = (narrow + wide) / 2
        if corners(perplexity, entropy, cut).sum() <= most:
            narrow = cut
        else:
            wide = cut
    return corners(perplexity, entropy, narrow)


def select_q_tuning(perplexity: Floats, entropy: Floats, ids: Strings, share: float) -> Outcome:
    """Pick a share of the rows from two corners of the plane of error and uncertainty.

    Args:
        perplexity: (n,) NaN where there is none; such rows are out as "no_score".
        entropy: (n,) nats per token, NaN where there is none; the same.
        ids: (n,) distinct example ids; the lower one wins a tie.
        share: Of the rows with both numbers, above 0 and at most 1; rounded down.

    Returns:
        The picks: the corners, then the fill, the largest difference first. Of the others those
        above the median in both are "harmful_noise", those above in neither "redundant", and
        those that lie towards a corner that had no room "over_budget". Values are the differences.

    Raises:
        ValueError: if lengths differ, or the share is out of range.
    """
    require_same_length(perplexity=perplexity, entropy=entropy, ids=ids)
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    reasons = np.full(len(ids), "no_score", dtype=object)
    values = np.full(len(ids), np.nan)
    scored = np.flatnonzero(~np.isnan(perplexity) & ~np.isnan(entropy))
    if not len(scored):
        return account_for(scored, reasons, values)
    error = np.minimum(perplexity[scored], HIGHEST_PERPLEXITY)
    doubt = entropy[scored]
    budget = int(Fraction(str(share)) * len(scored))  # 0.29 of 100 rows is 29
    inside = widest_within(error, doubt, budget)
    difference = scaled(error) - scaled(doubt)
    # The corners first: |difference| is at most 1, so their keys lie below those of the fill.
    order = sort_rows(-np.abs(difference) - 2.0 * inside, ids[scored])
    noisy = np.stack([error > np.median(error), doubt > np.median(doubt)])  # (2, scored)
    others = np.full(len(scored), "over_budget", dtype=object)
    others[noisy.all(axis=0)] = "harmful_noise"
    others[~noisy.any(axis=0)] = "redundant"
    reasons[scored], values[scored] = others, difference
    picks = scored[order[:budget]]
    reasons[picks] = ""
    filled = difference[order[:budget]][~inside[order[:budget]]]
    note = supply_note(budget, filled)
    return replace(account_for(picks, reasons, values), notes=(note,))


def scaled(values: Floats) -> Floats:
    """Values brought to 0 … 1; all 0 where they are all the same."""
    least, most = values.min(), values.max()
    return (values - least) / (most - least) if most > least else np.zeros_like(values)


def supply_note(budget: int, filled: Floats) -> str:
    """How many rows the corners gave, and how many were filled up: those with these differences."""
    share = len(filled) / budget if budget else 0.0
    return (
        f"misconceptions and calibration samples supply {budget - len(filled)} of {budget} rows; "
        f"{len(filled)} ({share:.0%}) are filled up by |PPL' - H'|, {np.sum(filled > 0)} of them "
        f"towards misconception and {np.sum(filled < 0)} towards calibration"
    )


class QTuning(Filter):
    """Q-Tuning's first stage: keep two corners of perplexity and entropy (arXiv 2509.23873)."""

    method: Literal["q_tuning"]
    keep: Share = Field(description="Share of the scored rows that stays; 0.125 to 0.5 published.")
    perplexity: str = Field(default="perplexity", description="The score that is the error.")
    entropy: str = Field(default="entropy", description="The score that is the uncertainty.")

    def scores(self) -> tuple[str, ...]:
        """Both."""
        return (self.perplexity, self.entropy)

    def pick(self, rows: Candidates) -> Outcome:
        """Keep the corners, and fill up."""
        error, doubt = rows.score(self.perplexity), rows.score(self.entropy)
        return select_q_tuning(error, doubt, rows.ids, self.keep)
