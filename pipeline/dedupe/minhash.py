"""Near duplicates by words or characters: texts whose sets of shingles overlap.

    J(a, b) = |a & b| / |a | b|

a and b are the sets of n-grams of two texts, of words or of characters (shingles.py says what they
are). J is from 0 to 1, and 1 is for texts that differ in case, spacing and, by words, punctuation
at most. MinHash signatures from rensa propose pairs: those whose signatures agree in a band of
places. The exact J decides on each, so no row is removed because of an estimate. Bands are chosen
such that a pair at the threshold is missed with a probability below 0.001, and more similar pairs
more rarely still.

What it is for: copies with edits, suffixes, changed punctuation; templates filled in differently.
When not to use it: for the same content in other words, which shares few n-grams (semantic.py); for
one text inside another, longer one, whose J is low; for code or numbers where one character makes
another task, with a threshold below 0.9 or so. Answers of a few words are compared as a whole.

A signature is kept in the workspace (signatures.py). A row is signed once; later runs read its text
only if its signature agrees with another's in a band.

Cost: about 30 microseconds to sign a row of 60 words, and 4 bytes of disk for each permutation.

Broder 1997, "On the resemblance and containment of documents", doi:10.1109/SEQUEN.1997.666900.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.dedupe.clusters import remove_duplicates
from pipeline.dedupe.preambles import PREAMBLE, Compared, PreambleRule, RowTexts
from pipeline.dedupe.signatures import (
    Signatures,
    read_signatures,
    rows_per_band,
    shared_bands,
    sign_texts,
)
from pipeline.dedupe.step import DedupeStep
from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates
from pipeline.text.shingles import Shingling, Unit, hash_shingles
from scorers.arrays import Floats, Ints, Strings
from storage.conversations import TextField

SplitOf = Callable[[Ints], Sequence[Compared]]  # reads the texts of some rows


class _ShingleSearch:
    """Looks for the kept texts that share a band, and compares the sets of shingles."""

    def __init__(
        self, signatures: Signatures, split_of: SplitOf, threshold: float, cut: Shingling
    ) -> None:
        rows, self._bands = shared_bands(signatures, rows_per_band(threshold, signatures.shape[1]))
        self._threshold = threshold
        self._place = {row: place for place, row in enumerate(rows.tolist())}
        self._texts, self._cut = split_of(rows) if len(rows) else [], cut
        self._shingles = hash_shingles((each.text for each in self._texts), cut)
        self._kept: list[tuple[int, set[int]]] = []  # rows and their shingles, in the order kept
        self._kept_with_band: dict[int, list[int]] = {}  # places in that list

    def closest(self, row: int) -> tuple[int, float] | None:
        """The kept text with the highest J at or above the threshold, the first kept in a tie."""
        own = self._place.get(row)
        if own is None:  # it shares no band with any row
            return None
        bands = self._bands[own]
        indices = {place for band in bands for place in self._kept_with_band.get(band, ())}
        mine = self._shingles.of(own) if indices else set()
        best: tuple[int, float] | None = None
        for place in sorted(indices):  # in the order kept: with ">" below the first wins a tie
            other, theirs = self._kept[place]
            similarity = jaccard(mine, theirs)
            if similarity >= self._threshold and (best is None or similarity > best[1]):
                similarity = min(similarity, self._as_wholes(own, self._place[other]))
                # Again: with their preambles they may be less alike.
                if similarity >= self._threshold and (best is None or similarity > best[1]):
                    best = other, similarity
        return best

    def _as_wholes(self, own: int, other: int) -> float:
        """The similarity of two texts with their preambles; 1 where these are the same."""
        one, two = self._texts[own], self._texts[other]
        if one.preamble == two.preamble:
            return 1.0
        wholes = hash_shingles([one.whole, two.whole], self._cut)
        return jaccard(wholes.of(0), wholes.of(1))

    def keep(self, row: int) -> None:
        """Add a text to those kept."""
        own = self._place.get(row)
        if own is None:  # no row will be compared with it
            return
        for band in self._bands[own]:
            self._kept_with_band.setdefault(band, []).append(len(self._kept))
        self._kept.append((row, self._shingles.of(own)))


def jaccard(one: set[int], other: set[int]) -> float:
    """J of two sets, one of them not empty."""
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def remove_near_duplicates(
    texts: Sequence[str],
    keep_scores: Floats,
    ids: Strings,
    threshold: float = 0.7,
    cut: Shingling = Shingling(),  # noqa: B008
    permutations: int = 128,
) -> Outcome:
    """Keep every text that is not within the threshold of a text kept before it.

    Args:
        texts: (n,) texts. An empty one is no copy of anything, and is kept.
        keep_scores: (n,) of two copies the higher one stays; NaN counts as lowest.
        ids: (n,) distinct example ids; the lower one wins a tie.
        threshold: J, from 0.1 to 1; a pair at or above it is of copies.
        cut: Into what texts are cut.
        permutations: Numbers in a signature.

    Returns:
        The rows kept, in keep order. The others are "near_duplicate" of `because_of`, the most
        similar of the rows kept before, and the value is J.

    Raises:
        ValueError: if lengths differ, a keep score is infinite, or `threshold`, `cut` or
            `permutations` is out of range.
    """
    if not 0.1 <= threshold <= 1 or cut.n < 1:
        raise ValueError(
            f"threshold must be from 0.1 to 1, and n 1 or more; got {threshold} and {cut.n}"
        )
    if len(texts) != len(ids):
        raise ValueError(f"{len(texts)} texts but {len(ids)} ids")

    def split_of(rows: Ints) -> list[Compared]:
        return [Compared("", texts[row]) for row in rows.tolist()]

    search = _ShingleSearch(sign_texts(texts, cut, permutations), split_of, threshold, cut)
    return remove_duplicates(search, keep_scores, ids)


class MinHash(DedupeStep):
    """Near-duplicates: texts that share most of their n-grams."""

    method: Literal["minhash"]
    text: TextField = Field(default="both", description="The text that is compared.")
    threshold: float = Field(
        default=0.7, ge=0.1, le=1, description="Jaccard similarity of the n-grams, at or above."
    )
    unit: Unit = Field(default="words", description="What an n-gram is made of.")
    n: int = Field(
        default=5,
        gt=0,
        le=1000,
        description="Words or characters in an n-gram; of characters, 20 and more are usual.",
    )
    preamble: PreambleRule = PREAMBLE
    permutations: int = Field(
        default=128,
        ge=16,
        le=1024,
        description="Numbers in a signature: more propose fewer pairs in vain, and take more disk.",
    )

    @model_validator(mode="after")
    def enough_permutations(self) -> Self:
        """Check that no pair at the threshold would be missed for want of permutations."""
        rows_per_band(self.threshold, self.permutations)
        return self

    def label(self) -> str:
        """Method, text and threshold; how texts are cut where that is not usual."""
        cut = "" if (self.unit, self.n) == ("words", 5) else f", by {self.n} {self.unit}"
        return f"minhash on {self.text}, at {self.threshold:g}{cut}"

    def remove(self, rows: Candidates, keep_scores: Floats) -> Outcome:
        """Compare words or characters."""
        cut = Shingling(self.unit, self.n)
        texts = RowTexts(rows, self.text, self.preamble)
        signatures = read_signatures(rows, texts, cut, self.permutations)
        search = _ShingleSearch(signatures, texts.parted, self.threshold, cut)
        return remove_duplicates(search, keep_scores, rows.ids)
