"""Rating: the mark that a judge is expected to give.

    rating_i = sum over k of v_k * p_ik

v_k is the number that option k stands for, p_ik the probability that the judge's reply about row i
begins with it, renormalised over the options: with marks from 1 to 6, 1 where the judge is sure of
the worst, 6 of the best, 3.5 where it cannot tell. Higher is kept first. As an expectation it tells
rows apart that would all get the same mark, and it does not depend on what the judge wanted to say
besides the options. Where that was nearly everything (a mass below `least_mass`), the rest means
nothing and there is no rating. Small models say much else: raise it for a judge that can follow.
For questions of your own about single rows, with a judge that follows them; not as a general
quality to rank by unchecked. One pass of the judge over each row.

Liu et al. 2024, "What Makes Good Data for Alignment?" (DEITA), arXiv:2312.15685: its scorers are
models trained to reply with a mark, read as here from the logits of the marks. Its code gives a row
3.0 where a mark cannot be read, and adds up the turns of a dialogue; here such a row has no rating,
and a row is rated once, as a whole; `deita` rates every turn. AlpaGasus, arXiv:2307.08701, takes
the written mark. It is below random rows in DEITA's tables and, as DEITA is, in those of Q-Tuning
(arXiv:2509.23873) on LLaMA2-7B with WizardLM data: use a rating to drop what a judge that can be
trusted finds bad, and compare with both controls before rows are ranked by it.
"""

import numpy as np

from scorers.arrays import Floats, require_probabilities, require_same_length, require_sums_of_one


def score_rating(
    probabilities: Floats, marks: Floats, mass: Floats, *, least_mass: float = 0.01
) -> Floats:
    """Score each example by the expected mark.

    Args:
        probabilities: (n, k) of the k options, for each row; rows sum to 1.
        marks: (n, k) the numbers that the options stand for, or NaN where they are no numbers.
        mass: (n,) probability that all options had together.
        least_mass: Where `mass` is below, there is no rating; from 0 to 1.

    Returns:
        (n,) between the least and the greatest of the marks. NaN where a probability or mark is
        missing, or the mass is too small.

    Raises:
        ValueError: if shapes differ, probabilities do not sum to 1, or a probability, a mass or
            `least_mass` is outside 0 to 1.
    """
    require_same_length(probabilities=probabilities, mass=mass)
    if probabilities.shape != marks.shape:
        raise ValueError(
            "expected probabilities and marks of one shape (n, k), got "
            f"{probabilities.shape} and {marks.shape}"
        )
    if not 0 <= least_mass <= 1:
        raise ValueError(f"least_mass is a probability, from 0 to 1, got {least_mass}")
    require_probabilities(probabilities=probabilities, mass=mass)
    require_sums_of_one("the options of a rating", probabilities)
    return np.where(mass >= least_mass, (marks * probabilities).sum(axis=1), np.nan)
