import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedupe.clusters import remove_duplicates
from pipeline.dedupe.minhash import remove_near_duplicates
from pipeline.dedupe.signatures import rows_per_band
from pipeline.ranking.outcome import Outcome
from pipeline.text.shingles import Shingles, Shingling, hash_shingles


class AllPairs:
    """Every pair compared by its sets: what the search must equal, but for a miss in 1 000."""

    def __init__(self, shingles: Shingles, threshold: float) -> None:
        self.shingles = shingles
        self.threshold = threshold
        self.kept: list[int] = []

    def closest(self, row: int) -> tuple[int, float] | None:
        best = None
        mine = self.shingles.of(row)
        for kept in self.kept:
            theirs = self.shingles.of(kept)
            similarity = len(mine & theirs) / len(mine | theirs) if mine | theirs else 0.0
            if similarity >= self.threshold and (best is None or similarity > best[1]):
                best = kept, similarity
        return best

    def keep(self, row: int) -> None:
        self.kept.append(row)


def ids(n: int) -> np.ndarray:
    return np.array([f"{i:04}" for i in range(n)], dtype=object)


def dedupe(texts: list[str], threshold: float = 0.7, shingle_words: int = 5) -> Outcome:
    return remove_near_duplicates(
        texts,
        np.full(len(texts), np.nan),
        ids(len(texts)),
        threshold,
        Shingling("words", shingle_words),
    )


def sentences(n: int, length: int, seed: int) -> list[str]:
    """Random texts that share no five words."""
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{w}" for w in rng.integers(0, 5000, length)) for _ in range(n)]


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=8), max_size=25),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
    st.data(),
)
def test_equals_the_comparison_of_all_pairs(
    words: list[list[str]], threshold: float, data: st.DataObject
) -> None:
    texts = [" ".join(text) for text in words]
    scores = np.array([data.draw(st.sampled_from([0.0, 1.0, np.nan])) for _ in texts])
    outcome = remove_near_duplicates(
        texts, scores, ids(len(texts)), threshold, Shingling("words", 2)
    )
    exact = AllPairs(hash_shingles(texts, Shingling("words", 2)), threshold)
    expected = remove_duplicates(exact, scores, ids(len(texts)))
    np.testing.assert_array_equal(outcome.indices, expected.indices)
    np.testing.assert_array_equal(outcome.because_of, expected.because_of)
    np.testing.assert_array_equal(outcome.value, expected.value)


@pytest.mark.parametrize(
    ("other", "similarity"),
    [
        ("w0 w1 w2 w3 w4 w5 w6 w7 w8 w9", 1),
        ("W0, w1: w2 - w3 w4 w5; w6 (w7) w8 w9!", 1),  # case and punctuation
        ("w0 w1 w2 w3 w4 w5 w6 w7 w8", 5 / 6),  # 5 of 6 shingles
        ("w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 end", 6 / 7),
    ],
)
def test_similarity_is_that_of_the_sets(other: str, similarity: float) -> None:
    outcome = dedupe(["w0 w1 w2 w3 w4 w5 w6 w7 w8 w9", other])
    np.testing.assert_array_equal(outcome.indices, [0])
    assert outcome.value[1] == similarity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("w0 w1 w2 w3 w4 w5 w6 w7 w8 w9", "w0 w1 w2 w3 x w5 w6 w7 w8 w9"),
        ("What is 12 - 5?", "What is 12 + 5?"),
        ("Say yes", "Say no"),
        ("Say yes", "Yes, say"),
        ("", ""),  # nothing to compare
        ("?!", "!?"),
    ],
)
def test_what_is_no_copy_stays(one: str, other: str) -> None:
    assert len(dedupe([one, other]).indices) == 2


def test_short_texts_have_exact_copies() -> None:
    np.testing.assert_array_equal(dedupe(["Say yes", "say YES.", "?!", "?!"]).indices, [0, 2])


def test_the_better_copy_stays() -> None:
    texts = ["a b c d e f", "a b c d e f"]
    outcome = remove_near_duplicates(texts, np.array([1.0, 2.0]), ids(2))
    np.testing.assert_array_equal(outcome.indices, [1])
    assert outcome.because_of[0] == 1


def test_a_template_that_all_rows_share_is_compared_with_the_kept_one_only() -> None:
    # All pairs would be 50 million; a minute and more.
    template = sentences(1, 60, 0)[0]
    outcome = dedupe([f"{template} {i}" for i in range(10_000)])
    np.testing.assert_array_equal(outcome.indices, [0])


def test_pairs_just_above_the_threshold_are_found_and_just_below_are_kept() -> None:
    # 96 shingles of 100 words. One word changed far from the ends takes 5 from each side.
    base = sentences(400, 100, 1)
    near = []
    for i, text in enumerate(base):
        words = text.split()
        for k in range(3 if i < 200 else 4):
            words[10 + 20 * k] = "changed"
        near.append(" ".join(words))
    # 81 of 111 are shared, 0.73; with a fourth word 76 of 116, 0.66.
    outcome = dedupe(base + near)
    removed = set(np.flatnonzero(outcome.reasons))
    assert removed == set(range(400, 600))
    np.testing.assert_array_equal(outcome.because_of[400:600], np.arange(200))
    assert set(outcome.value[400:600]) == {81 / 111}


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_a_pair_at_the_threshold_is_hardly_missed(threshold: float) -> None:
    rows = rows_per_band(threshold, 128)
    assert (1 - threshold**rows) ** (128 // rows) < 0.001


def test_bands_are_as_long_as_they_may_be() -> None:
    assert [rows_per_band(t, 128) for t in (0.3, 0.7, 0.9, 1.0)] == [1, 4, 8, 128]


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold must be"):
        dedupe(["a"], threshold=0.05)
    with pytest.raises(ValueError, match=r"n 1 or more; got 0\.7 and 0"):
        dedupe(["a"], shingle_words=0)
    with pytest.raises(ValueError, match="2 texts but 1 ids"):
        remove_near_duplicates(["a", "b"], np.ones(1), ids(1))
