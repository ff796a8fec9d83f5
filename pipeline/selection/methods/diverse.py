"""DEITA's filter: the highest scores that are not too near one already chosen.

Liu et al. 2023, "What Makes Good Data for Alignment?", arXiv:2312.15685, section 2.4. As in their
code, a row is taken if its cosine similarity to every chosen row is at most 0.9.

It is for a pool with many rows alike, where the highest scores would be the same thing many times.
It is as good as its score: with DEITA's own, Q-Tuning's tables (arXiv:2509.23873, WizardLM data)
have it below random rows on LLaMA2-7B and above them on Mistral-7B. Not for rows that differ in a
number or a name only, which embeddings hardly tell apart: it takes one of them. Cost: n * k * d at
most, for k picks, a block of rows at a time; the released loop copies and normalises all picks for
every row.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.ranking.budget import Budget
from pipeline.ranking.greedy_diverse import keep_diverse
from pipeline.ranking.order import rank_by_score
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.step import ComparedText, Ranked, RankStep, rank_values
from scorers.arrays import Floats, Ints, Strings, require_same_length


def select_diverse(
    scores: Floats,
    vectors: NDArray[np.float32],
    ids: Strings,
    budget: Budget,
    loss_tokens: Ints | None = None,
    max_similarity: float = 0.9,
) -> Outcome:
    """Pick rows by score, highest first, passing over those too similar to a pick.

    Args:
        scores: (n,) NaN where there is none; such rows are out as "no_score".
        vectors: (n, d) embeddings of length 1; a row with a NaN is out as "no_embedding".
        ids: (n,) distinct example ids; the lower one wins a tie.
        budget: The limit; rows not reached are "over_budget".
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.
        max_similarity: The largest cosine similarity allowed between two picks, from -1 to 1; at 1
            nothing is too similar.

    Returns:
        The picks in the order picked. `because_of` is the pick most similar to a row that is
        "too_similar" and the value their similarity; other values are the scores.

    Raises:
        ValueError: if lengths differ, a vector is not of length 1, a score is infinite, or
            `max_similarity` is out of range.
    """
    require_same_length(scores=scores, vectors=vectors, ids=ids)
    if not -1 <= max_similarity <= 1:
        raise ValueError(f"max_similarity is a cosine, from -1 to 1, got {max_similarity}")
    n = len(scores)
    embedded = np.asarray(~np.isnan(vectors).any(axis=1), dtype=bool)
    ranked = rank_by_score(scores, ids)
    apart = keep_diverse(
        vectors, ranked[embedded[ranked]], max_similarity, *budget.costs(n, loss_tokens)
    )
    similar = apart.because_of >= 0  # (n,) -1 for picks, and for rows that were not reached
    reasons = np.full(n, "over_budget", dtype=object)
    reasons[~embedded] = "no_embedding"  # later reasons win: a row may lack both, and is named once
    reasons[np.isnan(scores)] = "no_score"
    reasons[similar] = "too_similar"
    reasons[apart.kept] = ""
    value = np.where(similar, apart.similarity, scores)
    return account_for(apart.kept, reasons, value, apart.because_of)


class Diverse(RankStep):
    """The highest scores that are not too similar to a pick (DEITA's filter, arXiv 2312.15685)."""

    method: Literal["diverse"]
    score: Ranked = Field(description="The score that ranks, or several with their weights.")
    max_similarity: float = Field(
        default=0.9, gt=0, le=1, description="Cosine similarity to a pick that is too much."
    )
    text: ComparedText = "both"

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Walk down the ranking, passing over what is too similar."""
        embeddings = vectors(self.text, rows).astype(np.float32)
        budget, scores = self.budget.budget(), rank_values(rows, self.score)
        return select_diverse(
            scores, embeddings, rows.ids, budget, rows.loss_tokens, self.max_similarity
        )
