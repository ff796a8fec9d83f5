"""DEITA: complexity times quality, added up over the turns of a conversation.

    deita_i = sum over t of c_it * q_it,    c_it = sum over v from 1 to 6 of v * p_itv

c_it is the mark that the judge of complexity is expected to give the t-th user turn, q_it the same
for the quality of the reply to it, and p_itv the probability of mark v, renormalised over the six:
3.5 where a judge cannot tell. One turn is worth from 1 to 36. Higher is kept first.

It is meant for a small chat set from a large pool, together with the step `diverse`, which is the
other half of the method. Not for dialogues of very different lengths as it stands: it is a sum, as
published, so that ten turns beat any one, and the score follows length. With `average` it is the
mean over the turns, which says how good they are and not how many. It costs two short questions to
a judge for every turn. In the tables of Q-Tuning (arXiv:2509.23873), with WizardLM data, DEITA is
below random rows on LLaMA2-7B, where the longest responses beat both, and above them on Mistral-7B:
compare with both controls, the random and the length-matched one, before the score is believed.

Liu et al. 2024, "What Makes Good Data for Alignment?" (DEITA), arXiv:2312.15685. The marks come
from any judge that is asked in words; the paper's are models trained for it. Its code gives a turn
3.0 where no mark can be read. Here the row has no score then: the measure says so, or, where the
marks of a turn had less than `least_mass` together, this does.
"""

import numpy as np

from scorers.arrays import Floats, require_probabilities, require_same_length, require_sums_of_one

MARKS = np.arange(1.0, 7.0)


def expected_marks(name: str, probabilities: Floats, mass: Floats) -> Floats:
    """The mark expected of each turn; (n, t), NaN where there is no turn or no mark.

    Raises:
        ValueError: if the shapes do not fit, or these are no probabilities of six marks.
    """
    if probabilities.shape != (*mass.shape, len(MARKS)):
        raise ValueError(
            f"expected {name} (n, t, {len(MARKS)}) and its mass (n, t), got "
            f"{probabilities.shape} and {mass.shape}"
        )
    require_probabilities(**{name: probabilities, f"{name}_mass": mass})
    require_sums_of_one(f"the marks of {name}", probabilities)
    expected: Floats = np.einsum("ntm,m->nt", probabilities, MARKS)
    return expected


def score_deita(
    complexity: Floats,
    complexity_mass: Floats,
    quality: Floats,
    quality_mass: Floats,
    *,
    average: bool = False,
    least_mass: float = 0.01,
) -> Floats:
    """Score each example by its turns' expected complexity times quality.

    Args:
        complexity: (n, t, 6) probabilities of the marks 1 to 6 for the user turns; NaN for a row
            with fewer turns than t.
        complexity_mass: (n, t) probability that the marks had together; NaN where there is no turn.
        quality: (n, t, 6) the same for the replies.
        quality_mass: (n, t)
        average: Whether to take the mean over the turns in place of the sum.
        least_mass: Where a mass of any turn is below, the row has no score; from 0 to 1.

    Returns:
        (n,) from 1 to 36 for each turn. NaN where there is no turn, or a mark of one is missing.

    Raises:
        ValueError: if shapes differ, probabilities do not sum to 1, or a probability, a mass or
            `least_mass` is outside 0 to 1.
    """
    require_same_length(complexity=complexity, quality=quality)
    if not 0 <= least_mass <= 1:
        raise ValueError(f"least_mass is a probability, from 0 to 1, got {least_mass}")
    hard = expected_marks("complexity", complexity, complexity_mass)
    good = expected_marks("quality", quality, quality_mass)
    if hard.shape != good.shape:
        raise ValueError(f"turns of complexity and quality differ: {hard.shape} and {good.shape}")
    asked = ~np.isnan(complexity_mass) | ~np.isnan(quality_mass)  # (n, t); t is the longest row's
    sure = np.minimum(complexity_mass, quality_mass) >= least_mass
    products = np.where(sure, hard * good, np.nan)  # one unsure turn makes its row's sum NaN
    totals = np.zeros(len(asked))
    for turn in np.where(asked, products, 0.0).T:  # one by one: t of other rows changes no rounding
        totals += turn
    turns = asked.sum(axis=1)
    scores = totals / np.maximum(turns, 1) if average else totals
    return np.where(turns > 0, scores, np.nan)
