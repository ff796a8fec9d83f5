"""Near duplicates by words: texts whose sets of shingles overlap.

    J(a, b) = |a & b| / |a | b|

a and b are the sets of word n-grams of two texts (shingles.py says what a word is). MinHash
signatures from rensa and locality-sensitive hashing propose pairs; the exact J decides on each, so
no row is removed because of an estimate. Bands are chosen such that a pair at the threshold is
missed with a probability below 0.001, and more similar pairs more rarely still.

Broder 1997, "On the resemblance and containment of documents", doi:10.1109/SEQUEN.1997.666900.
"""

from collections.abc import Iterable

import numpy as np
from rensa import RMinHash, RMinHashDigestMatrix, RMinHashLSH

from pipeline.dedupe.clusters import remove_duplicates
from pipeline.dedupe.shingles import MULTIPLIER, Hashes, Shingles, hash_shingles
from pipeline.selection.picked import Picked
from scorers.arrays import Floats, Ints, Strings

PERMUTATIONS = 128
SEED = 1
"""Of the permutations. Fixed: which pairs are proposed is not to depend on a choice."""

MISSES = 0.001


def rows_per_band(threshold: float) -> int:
    """The most rows of a band with which a pair at the threshold is hardly ever missed.

    More rows propose fewer pairs that turn out not to be similar. A pair of similarity J meets in
    a band of r rows with probability J^r, and is missed by all PERMUTATIONS / r bands with
    (1 - J^r)^(PERMUTATIONS / r).
    """
    rows = 1
    while (1 - threshold ** (2 * rows)) ** (PERMUTATIONS // (2 * rows)) < MISSES:
        rows *= 2
    return rows


def _signatures(shingles: Shingles, rows: Ints) -> RMinHashDigestMatrix:
    """MinHash signatures of some texts, each with a shingle or more."""
    counts = np.diff(shingles.starts)[rows]
    starts = np.concatenate(([0], np.cumsum(counts)))
    places = np.arange(starts[-1]) + np.repeat(shingles.starts[rows] - starts[:-1], counts)
    return RMinHash.digest_matrix_from_flat_token_hashes(
        shingles.hashes[places], starts.astype(np.uint64), PERMUTATIONS, SEED
    )


def _shared_bands(signatures: RMinHashDigestMatrix, band_rows: int) -> list[list[int]]:
    """The bands that each text (m) shares with another, as numbers; equal bands, equal numbers."""
    digests = np.array(signatures.to_rows(), dtype=np.uint64)
    digests = digests.reshape(-1, PERMUTATIONS // band_rows, band_rows)
    shared: list[list[int]] = [[] for _ in digests]
    first = 0
    for band in range(digests.shape[1]):
        keys: Hashes = digests[:, band, 0]
        for row in range(1, band_rows):
            keys = keys * MULTIPLIER + digests[:, band, row]
        _, codes, counts = np.unique(keys, return_inverse=True, return_counts=True)
        for text in np.flatnonzero(counts[codes] > 1).tolist():
            shared[text].append(first + int(codes[text]))
        first += len(counts)
    return shared


class _ShingleSearch:
    """Looks for the kept texts that share a band, and compares the sets of shingles."""

    def __init__(self, shingles: Shingles, threshold: float) -> None:
        self._shingles = shingles
        self._threshold = threshold
        self._bands = self._candidates()
        self._kept: list[tuple[int, set[int]]] = []  # rows and their shingles, in the order kept
        self._kept_with_band: dict[int, list[int]] = {}  # places in that list

    def _candidates(self) -> dict[int, list[int]]:
        """The shared bands of each text that shares one."""
        rows = np.flatnonzero(np.diff(self._shingles.starts))
        band_rows = rows_per_band(self._threshold)
        if not rows.size:
            return {}
        # rensa says in one pass who shares a band at all; mostly few do, and the rest ends here.
        index = RMinHashLSH(self._threshold, PERMUTATIONS, PERMUTATIONS // band_rows)
        flags = index.query_duplicate_flags_matrix_one_shot(_signatures(self._shingles, rows))
        rows = rows[np.array(flags, dtype=bool)]
        if not rows.size:
            return {}
        shared = _shared_bands(_signatures(self._shingles, rows), band_rows)
        return dict(zip(rows.tolist(), shared, strict=True))

    def closest(self, row: int) -> tuple[int, float] | None:
        """The kept text with the highest J at or above the threshold, the first kept in a tie."""
        bands = self._bands.get(row, ())
        places = {place for band in bands for place in self._kept_with_band.get(band, ())}
        if not places:
            return None
        mine = self._shingles.of(row)
        best: tuple[int, float] | None = None
        for place in sorted(places):
            other, theirs = self._kept[place]
            common = len(mine & theirs)
            similarity = common / (len(mine) + len(theirs) - common)
            if similarity >= self._threshold and (best is None or similarity > best[1]):
                best = other, similarity
        return best

    def keep(self, row: int) -> None:
        """Add a text to those kept."""
        bands = self._bands.get(row, ())
        for band in bands:
            self._kept_with_band.setdefault(band, []).append(len(self._kept))
        if bands:
            self._kept.append((row, self._shingles.of(row)))


def remove_near_duplicates(
    texts: Iterable[str],
    keep_scores: Floats,
    ids: Strings,
    threshold: float = 0.7,
    shingle_words: int = 5,
) -> Picked:
    """Keep every text that is not within the threshold of a text kept before it.

    Args:
        texts: (n,) texts. An empty one is no copy of anything, and is kept.
        keep_scores: (n,) of two copies the higher one stays; NaN counts as lowest.
        ids: (n,) distinct example ids; the lower one wins a tie.
        threshold: J, from 0.1 to 1; a pair at or above it is of copies.
        shingle_words: Words in a shingle.

    Returns:
        The rows kept, in keep order. The others are "near_duplicate" of `because_of`, the most
        similar of the rows kept before, and the value is J.

    Raises:
        ValueError: if lengths differ, a keep score is infinite, or `threshold` or `shingle_words`
            is out of range.
    """
    if not 0.1 <= threshold <= 1 or shingle_words < 1:
        raise ValueError(
            "threshold must be from 0.1 to 1, and shingle_words 1 or more; "
            f"got {threshold} and {shingle_words}"
        )
    shingles = hash_shingles(texts, shingle_words)
    if len(shingles.starts) - 1 != len(ids):
        raise ValueError(f"{len(shingles.starts) - 1} texts but {len(ids)} ids")
    return remove_duplicates(_ShingleSearch(shingles, threshold), keep_scores, ids)
