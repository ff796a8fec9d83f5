"""Duplicates by meaning: rows whose embeddings point the same way.

    cos(a, b) = a.b / (|a| |b|)

a and b are embeddings of the prompt, the response or both; a pair at or above the threshold is of
copies. Each pair that a search proposes is decided in float64, so no row goes because of an
estimate. What searches differ in is what they may miss:

    flat   nothing. Work grows with rows times kept rows.
    ivf    a pair whose rows lie in cells far apart (inverted_index.py). How many rows with a copy
           it found is measured: a sample of rows that it kept is searched for a kept copy by the
           flat search. The recall is printed and stored with the counts of the step.

`auto` is flat up to 100 000 rows. Neither search lists the similar pairs, of which a template
shared by many rows makes a quadratic number: rows are compared with kept rows only. There is no
search by HNSW graph: one that is built by several threads differs from run to run.

This is a greedy rule, best row first, and without chains: a row goes only because of one that is
kept. SemDeDup (Abbas et al. 2023, arXiv:2303.09540) drops a row because of any row before it, also
one that was itself dropped, so it drops more at the same threshold; its groups are k-means cells,
and copies in two cells both stay.

What it is for: paraphrases, translations of a template, boilerplate in other words, after minhash
has taken the cheap copies. When not to use it: to tell apart rows that differ in a number, a name
or a negation, which embeddings hardly see ("add 3 and 4", "add 3 and 5"); with a threshold taken
from another embedding model, for each has its own scale. Read some of the removed pairs first:
`sluice explain` names them.

Cost: 50 000 rows of 256 numbers are a matter of seconds on one core, a million of minutes (ivf).
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.dedupe.clusters import keep_order
from pipeline.dedupe.preambles import PreambleRule, eclipsed_rows, say_eclipsed
from pipeline.dedupe.step import DedupeStep
from pipeline.measuring.measures.embeddings import ComparedField
from pipeline.ranking.greedy_diverse import (
    BLOCK_ROWS,
    DECIMALS,
    KeptRows,
    cosine,
    keep_by,
    keep_diverse,
    margin_of,
    screen_rows,
    unit_vectors,
)
from pipeline.ranking.inverted_index import (
    MOST_CELLS,
    VERSION,
    Cells,
    CellSearch,
    count_cells,
    draw_rows,
    nearest_cells,
    whole_numbers,
)
from pipeline.ranking.outcome import Outcome, account_for, no_reasons
from pipeline.ranking.searches import FlatSearch, Screen, Vectors32, one_blas_thread
from pipeline.selection.candidates import Candidates
from scorers.arrays import Floats, Ints, Strings, require_same_length

LARGE_ROWS = 100_000  # from here on, `auto` searches cells
SAMPLE_ROWS = 4000  # on which the recall of cells is measured
ROWS_AT_ONCE = 1 << 16  # 64 MB as float32 of 256 columns


def remove_similar(
    vectors: Vectors32,
    keep_scores: Floats,
    ids: Strings,
    threshold: float = 0.9,
    cells: Cells | None = None,
) -> Outcome:
    """Keep every row that is not within the threshold of a row kept before it.

    Args:
        vectors: (n, d) embeddings of length 1. A row with a NaN cannot be compared: it is kept, and
            nothing goes because of it.
        keep_scores: (n,) of two copies the higher one stays; NaN counts as lowest.
        ids: (n,) distinct example ids; the lower one wins a tie.
        threshold: Cosine similarity, above -1 and at most 1; a pair at or above it is of copies. 1
            is for equal vectors, to 6 decimals of the cosine.
        cells: Where to look for copies; without them every kept row is looked at.

    Returns:
        The rows kept, in keep order. The others are "near_duplicate" of `because_of`, the most
        similar of the rows kept before, and the value is the similarity. With cells, the most
        similar of those that were looked at; a note says how many rows with a copy were found.

    Raises:
        ValueError: if lengths differ, a vector is not of length 1, a keep score is infinite, or the
            threshold is out of range.
    """
    require_same_length(vectors=vectors, keep_scores=keep_scores, ids=ids)
    if not -1 < threshold <= 1:
        raise ValueError(f"threshold is a cosine, above -1 and at most 1, got {threshold}")
    n, d = vectors.shape
    order = keep_order(keep_scores, ids)
    order_embedded = order[embedded_rows(vectors)[order]]
    # Similarities have 6 decimals: at or above the threshold is above half a step below it.
    bound = round(threshold, DECIMALS) - 0.5 * 10**-DECIMALS
    ones = np.ones(n, dtype=np.int64)  # with n to spend, no row is over the budget
    notes: tuple[str, ...] = ()
    if cells is None:
        apart = keep_diverse(vectors, order_embedded, bound, ones, n)
    else:
        screen = screen_rows(vectors, order_embedded, bound)
        kept = KeptRows(vectors, bound, CellSearch(cells, screen, d))
        apart = keep_by(kept, order_embedded, ones, n)
        notes = (say_recall(vectors, (apart.kept, apart.because_of), ids, (bound, screen), cells),)
    reasons = no_reasons(n)
    reasons[apart.because_of >= 0] = "near_duplicate"
    kept_rows = order[reasons[order] == ""]  # and not apart.kept: rows without embedding stay too
    outcome = account_for(kept_rows, reasons, apart.similarity, apart.because_of)
    return replace(outcome, notes=notes)


def embedded_rows(vectors: Vectors32) -> NDArray[np.bool_]:
    """(n,) whether a row has an embedding."""
    if not vectors.shape[1]:  # no row has one; a sum of nothing would be 0, and no NaN
        return np.zeros(len(vectors), dtype=bool)
    # A sum is NaN where a term is, and needs no (n, d) array of truth values.
    return np.asarray(~np.isnan(np.einsum("nd->n", vectors)), dtype=bool)


def say_recall(
    vectors: Vectors32,
    outcome: tuple[Ints, Ints],
    ids: Strings,
    search: tuple[float, Screen],
    cells: Cells,
) -> str:
    """Measure on a sample how many rows with a kept copy were removed, and say so.

    Args:
        vectors: (n, d) of length 1.
        outcome: Rows kept (k,), in keep order, and because_of (n,), -1 for those.
        ids: (n,) example ids.
        search: The bound of similarity, and the screen that was used.
        cells: What was searched.
    """
    kept, because_of = outcome
    compared = np.union1d(kept, np.flatnonzero(because_of >= 0))
    sample = compared[draw_rows(ids[compared], SAMPLE_ROWS, "recall")]
    found = int((because_of[sample] >= 0).sum())  # exact: each of them was decided in float64
    missed = count_missed(vectors, kept, sample[because_of[sample] < 0], *search)
    share = f"recall {found / (found + missed):.3f}" if found + missed else "recall unknown"
    return (
        f"semantic: each row was compared within {cells.searched} of {cells.count} cells; {share}: "
        f"of {len(sample)} sampled rows, {found + missed} have a copy that is kept, and {found} of "
        "these were found"
    )


def count_missed(vectors: Vectors32, kept: Ints, sample: Ints, bound: float, screen: Screen) -> int:
    """How many of some kept rows have a copy that was kept before them, by complete search.

    Args:
        vectors: (n, d) of length 1.
        kept: (k,) rows, in the order kept.
        sample: (s,) some of them.
        bound: A pair above it is of copies.
        screen: Through which to search.
    """
    turn = np.zeros(len(vectors), dtype=np.int64)  # when a row was kept
    turn[kept] = np.arange(len(kept))
    # The other way round: the small sample is searched, and every kept row asks.
    search = FlatSearch(screen, vectors.shape[1])
    search.keep(sample, unit_vectors(vectors[sample]))
    missed = np.zeros(len(sample), dtype=bool)
    least = bound - margin_of(vectors.shape[1])
    with one_blas_thread():
        for start in range(0, len(kept), BLOCK_ROWS):
            rows = kept[start : start + BLOCK_ROWS]
            found = search.near(rows, unit_vectors(vectors[rows]), least)
            one, other = rows[found.asked], sample[found.place]
            before = turn[one] < turn[other]  # a copy kept later goes because of the sampled row
            near = cosine(vectors, one[before], other[before]) > bound
            missed[found.place[before][near]] = True
    return int(missed.sum())


class Semantic(DedupeStep):
    """Semantic duplicates: texts whose embeddings point the same way."""

    method: Literal["semantic"]
    text: ComparedField = Field(
        default="both",
        description="The text whose embeddings are compared; hidden: the state kept with losses; "
        "weighted: the mean of all states kept with them.",
    )
    threshold: float = Field(
        default=0.95, gt=0, le=1, description="Cosine similarity, at or above."
    )
    preamble: PreambleRule = Field(
        default="leave_out",
        description="leave_out: a row that begins like another, and most of whose text is system "
        "text, earlier turns or leading lines that 8 rows or more have, is not compared; compare: "
        "it is.",
    )
    index: Literal["auto", "flat", "ivf"] = Field(
        default="auto",
        description="flat compares with every kept row; ivf with those of the nearest cells, and "
        "measures its recall; auto is flat up to 100 000 rows.",
    )
    cells: int = Field(
        default=32,
        gt=0,
        le=MOST_CELLS,
        description="Cells that ivf looks into for each row: more find more, and take longer.",
    )

    def label(self) -> str:
        """Method, text and threshold."""
        return f"semantic on {self.text}, at {self.threshold:g}"

    def embedded(self) -> ComparedField | None:
        """The text itself."""
        return self.text

    def remove(self, rows: Candidates, keep_scores: Floats) -> Outcome:
        """Compare embeddings."""
        embeddings = rows.pool.vectors(self.text, rows.indices)
        eclipsed = eclipsed_rows(rows, self.text, self.preamble)
        embeddings[eclipsed] = np.nan
        cells = self.find_cells(rows, embeddings) if self.by_cells(len(rows)) else None
        outcome = remove_similar(embeddings, keep_scores, rows.ids, self.threshold, cells)
        return replace(outcome, notes=(*outcome.notes, *say_eclipsed(len(eclipsed))))

    def by_cells(self, n: int) -> bool:
        """Whether n rows are searched by cells."""
        return self.index == "ivf" or (self.index == "auto" and n > LARGE_ROWS)

    def find_cells(self, rows: Candidates, embeddings: Vectors32) -> Cells:
        """The cells of rows with embeddings (n, d); those not stored yet are found, and stored."""
        embedded = np.flatnonzero(embedded_rows(embeddings))
        count = count_cells(len(embedded))
        width = min(MOST_CELLS, count)
        # As before "weighted" was a text, so that cells of others are found again.
        of_states = self.text if self.text == "weighted" else self.text == "hidden"
        settings = [VERSION, rows.pool.vectors_key(self.text), of_states, count]
        index = rows.pool.index("cells", settings, width)
        centres = index.constants()
        if centres is None:
            drawn = embedded[draw_rows(rows.ids[embedded], count, "centres")]
            centres = whole_numbers(unit_vectors(embeddings[np.sort(drawn)]))
            index.store_constants(centres)
        stored, known = rows.pool.read_index(index)  # aligned with the pool, not with `rows`
        nearest, missing = stored[rows.indices], embedded[~known[rows.indices][embedded]]
        for start in range(0, len(missing), ROWS_AT_ONCE):
            part = missing[start : start + ROWS_AT_ONCE]
            nearest[part] = nearest_cells(unit_vectors(embeddings[part]), centres)
        index.add(rows.ids[missing].tolist(), nearest[missing])
        return Cells(nearest, len(centres), min(self.cells, width))
