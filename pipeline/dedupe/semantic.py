"""Duplicates by meaning: rows whose embeddings point the same way.

Every pair that matters is compared, none is approximated. Work grows with rows times kept rows:
50 000 rows are a matter of seconds, a million of an hour. It never lists the similar pairs, of
which a template shared by many rows makes a quadratic number.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.candidates import Candidates, Vectors
from pipeline.dedupe.clusters import keep_order
from pipeline.dedupe.step import DedupeStep
from pipeline.measuring.embeddings import ComparedField
from pipeline.selection.apart import DECIMALS, keep_apart
from pipeline.selection.picked import Picked, account_for, no_reasons
from scorers.arrays import Floats, Strings, require_same_length


def remove_similar(
    vectors: NDArray[np.float32], keep_scores: Floats, ids: Strings, threshold: float = 0.9
) -> Picked:
    """Keep every row that is not within the threshold of a row kept before it.

    Args:
        vectors: (n, d) embeddings of length 1. A row with a NaN cannot be compared: it is kept, and
            nothing goes because of it.
        keep_scores: (n,) of two copies the higher one stays; NaN counts as lowest.
        ids: (n,) distinct example ids; the lower one wins a tie.
        threshold: Cosine similarity, above -1 and at most 1; a pair at or above it is of copies. 1
            is for equal vectors, to 6 decimals of the cosine.

    Returns:
        The rows kept, in keep order. The others are "near_duplicate" of `because_of`, the most
        similar of the rows kept before, and the value is the similarity.

    Raises:
        ValueError: if lengths differ, a vector is not of length 1, a keep score is infinite, or the
            threshold is out of range.
    """
    require_same_length(vectors=vectors, keep_scores=keep_scores, ids=ids)
    if not -1 < threshold <= 1:
        raise ValueError(f"threshold is a cosine, above -1 and at most 1, got {threshold}")
    n = len(ids)
    embedded = np.asarray(~np.isnan(vectors).any(axis=1), dtype=bool)
    order = keep_order(keep_scores, ids)
    # Similarities have 6 decimals: at or above the threshold is above half a step below it.
    bound = round(threshold, DECIMALS) - 0.5 * 10**-DECIMALS
    ones = np.ones(n, dtype=np.int64)
    apart = keep_apart(vectors, order[embedded[order]], bound, ones, n)
    reasons = no_reasons(n)
    reasons[apart.because_of >= 0] = "near_duplicate"
    return account_for(order[reasons[order] == ""], reasons, apart.similarity, apart.because_of)


class Semantic(DedupeStep):
    """Semantic duplicates: texts whose embeddings point the same way."""

    method: Literal["semantic"]
    text: ComparedField = Field(
        default="both",
        description="The text whose embeddings are compared; hidden: the state kept with losses.",
    )
    threshold: float = Field(
        default=0.95, gt=0, le=1, description="Cosine similarity, at or above."
    )

    def label(self) -> str:
        """Method, text and threshold."""
        return f"semantic on {self.text}, at {self.threshold:g}"

    def embedded(self) -> ComparedField | None:
        """The text itself."""
        return self.text

    def remove(self, rows: Candidates, vectors: Vectors) -> Picked:
        """Compare embeddings."""
        embeddings = rows.pool.vectors(self.text, rows.places)
        return remove_similar(embeddings, self.keep_scores(rows), rows.ids, self.threshold)
