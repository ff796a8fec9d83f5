"""MinHash signatures of texts, and which texts agree in a band of them.

A signature has, for each of some permutations of all shingles, the text's first: two texts agree
in one place of it with probability J. It follows from the text alone, so it is computed once and
kept in the workspace, under which text it is, how it is cut, and the number of permutations.
"""

from collections.abc import Sequence
from itertools import takewhile
from unicodedata import unidata_version

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from pipeline.dedupe.preambles import RowTexts
from pipeline.selection.candidates import Candidates
from pipeline.text.compared_words import VERSION
from pipeline.text.shingles import MULTIPLIER, Hashes, Shingling, hash_shingles
from scorers.arrays import Ints

Signatures = NDArray[np.uint32]

SEED = 1  # of the permutations; no setting, for which pairs are proposed is no choice
MISSES = 0.001  # share of the pairs at the threshold that no band may bring together
EMPTY = np.uint32(2**32 - 1)  # in every place of the signature of a text without shingles
TEXTS_AT_ONCE = 1 << 16  # whose shingles, 8 bytes for each word, are in memory together


def rows_per_band(threshold: float, permutations: int) -> int:
    """The most rows of a band with which a pair at the threshold is hardly ever missed.

    More rows propose fewer pairs that turn out not to be similar. A pair of similarity J meets in
    a band of r rows with probability J^r, and is missed by all permutations // r bands with
    (1 - J^r)^(permutations // r).

    Raises:
        ValueError: if even bands of one row would miss more than one pair in a thousand.
    """

    def found(rows: int) -> bool:
        return bool((1 - threshold**rows) ** (permutations // rows) < MISSES)

    rows = len(list(takewhile(found, range(1, permutations + 1))))
    if not rows:
        needed = int(np.ceil(np.log(MISSES) / np.log(1 - threshold)))  # bands of one row
        raise ValueError(
            f"{permutations} permutations miss pairs at a threshold of {threshold:g}: "
            f"take {needed} or more, or a higher threshold"
        )
    return rows


def sign_texts(texts: Sequence[str], cut: Shingling, permutations: int) -> Signatures:
    """Signatures (n, permutations) of texts; EMPTY in every place where a text has no shingle."""
    signatures = np.full((len(texts), permutations), EMPTY, dtype=np.uint32)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        shingles = hash_shingles(texts[start : start + TEXTS_AT_ONCE], cut)
        filled = np.flatnonzero(np.diff(shingles.starts))
        if not filled.size:
            continue
        # Texts without shingles begin where the next one does: without them no range is empty.
        bounds = np.append(shingles.starts[filled], shingles.starts[-1]).astype(np.uint64)
        signed = RMinHash.digest_matrix_from_flat_token_hashes(
            shingles.hashes, bounds, permutations, SEED
        )
        signatures[start + filled] = signed.to_rows()
    return signatures


def shared_bands(signatures: Signatures, band_rows: int) -> tuple[Ints, list[list[int]]]:
    """Which texts agree with another in a band.

    Args:
        signatures: (n, permutations); rows without a shingle agree with none.
        band_rows: Places in a band.

    Returns:
        The rows (m,) that share a band, ascending, and the bands each shares, as numbers: equal
        bands have equal numbers.
    """
    filled = np.flatnonzero((signatures != EMPTY).any(axis=1))
    if not filled.size:
        return filled, []
    owners: list[Ints] = []
    numbers: list[Ints] = []
    # Places that are left over at the end, fewer than a band, are in no band.
    for start in range(0, signatures.shape[1] - band_rows + 1, band_rows):
        keys: Hashes = signatures[filled, start].astype(np.uint64)
        for row in range(1, band_rows):
            keys = keys * MULTIPLIER + signatures[filled, start + row]  # modulo 2^64
        order = np.argsort(keys)
        same = keys[order][1:] == keys[order][:-1]  # each as the one before it
        member = np.append(same, False) | np.append(False, same)  # as a neighbour on either side
        groups = np.cumsum(~np.append(False, same))[member]  # 1 to len(filled)
        owners.append(filled[order[member]])
        numbers.append(groups + start * len(filled))  # so that no two bands share a number
    owner, number = np.concatenate(owners), np.concatenate(numbers)
    by_owner = np.lexsort((number, owner))
    rows, starts = np.unique(owner[by_owner], return_index=True)
    parts = np.split(number[by_owner], starts[1:])
    return rows, [part.tolist() for part in parts[: len(rows)]]  # of nothing, split makes a part


def read_signatures(
    rows: Candidates, texts: RowTexts, cut: Shingling, permutations: int
) -> Signatures:
    """Signatures (n, permutations) of rows; those not stored yet are made, and stored.

    Those of rows that share leading lines with many depend on the other rows, and are made anew.
    """
    made_by = [VERSION, unidata_version, RMinHash.ALGORITHM_VERSION, SEED]
    settings = [*texts.kind, cut.unit, cut.n, permutations, *made_by]
    index = rows.pool.index("minhash", settings, permutations)
    stored, known = rows.pool.read_index(index)
    # `stored` is aligned with the pool, `signatures` with `rows`, which may be some of it.
    signatures, missing = stored[rows.indices], np.flatnonzero(~known[rows.indices])
    ids = rows.ids
    for start in range(0, len(missing), TEXTS_AT_ONCE):
        part = missing[start : start + TEXTS_AT_ONCE]
        signatures[part] = sign_texts([each.text for each in texts.alone(part)], cut, permutations)
        index.add(ids[part].tolist(), signatures[part])
    if texts.shared:
        some = np.array(list(texts.shared), dtype=np.int64)
        signatures[some] = sign_texts([e.text for e in texts.parted(some)], cut, permutations)
    return signatures
