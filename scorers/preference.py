"""Preference: how sure a judge is that the repair of a response is better than the response.

    p_i = 1/2 * sum over both orders o of P(the repair is better | order o)

The probabilities are those of the judge's reply, renormalised over its three options; a tie speaks
for neither. 1: the judge takes the repair wherever it stands. A judge that always takes the first
gives 0.5, whatever the responses: leaning to a place is no preference. Where the judge wanted to
say something else in one of the orders (a mass below `least_mass`), there is none.

"Higher is kept first" does not hold for it: the value stands beside the response that was given,
and a high one speaks against it. It is for `clear_repair`, which reads it; not for ranking rows,
nor with a judge that cannot follow the question. Cost: two short questions for each repair.

CLEAR, arXiv:2403.12776, takes the confidence in the verdict from BSDetector, arXiv:2308.16175; this
is the judge's own probability.
"""

import numpy as np

from scorers.arrays import Floats, require_probabilities, require_same_length, require_sums_of_one

REPAIR_BETTER = 1
"""Its place among the options: given better, repair better, neither."""


def score_preference(verdicts: Floats, verdict_mass: Floats, *, least_mass: float = 0.01) -> Floats:
    """Score each example by the preference for its repair.

    Args:
        verdicts: (n, 2, 3) for both orders the probabilities of: given better, repair better,
            neither; they sum to 1.
        verdict_mass: (n, 2) probability that the three had together.
        least_mass: Where either mass is below, there is no preference; from 0 to 1.

    Returns:
        (n,) from 0 to 1. NaN where a verdict is missing, or a mass is too small.

    Raises:
        ValueError: if lengths differ, options do not sum to 1, or a probability, a mass or
            `least_mass` is outside 0 to 1.
    """
    require_same_length(verdicts=verdicts, verdict_mass=verdict_mass)
    if not 0 <= least_mass <= 1:
        raise ValueError(f"least_mass is a probability, from 0 to 1, got {least_mass}")
    require_probabilities(verdicts=verdicts, verdict_mass=verdict_mass)
    if verdicts.size == 0:
        return np.full(len(verdicts), np.nan)
    require_sums_of_one("the options of a verdict", verdicts)
    sure = (verdict_mass >= least_mass).all(axis=1)  # NaN, a missing verdict, is not sure
    return np.where(sure, verdicts[:, :, REPAIR_BETTER].mean(axis=1), np.nan)
