import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedupe.exact import Ignore, digest_texts, remove_exact


def ids(n: int) -> np.ndarray:
    return np.array([f"{i:03}" for i in range(n)], dtype=object)


@pytest.mark.parametrize(
    ("one", "other", "equal_ignoring"),
    [
        ("Say yes.", "Say yes.", {"nothing", "whitespace", "case-and-punctuation"}),
        ("Say  yes.\n", "Say yes.", {"whitespace", "case-and-punctuation"}),
        ("Say yes", "say YES!", {"case-and-punctuation"}),
        ("7 - 2", "7 + 2", set()),
        ("ab c", "a bc", set()),
        ("say yes", "yes say", set()),
        ("", "", set()),  # nothing to compare
        (" \n", "\t", set()),
    ],
)
@pytest.mark.parametrize("ignore", ["nothing", "whitespace", "case-and-punctuation"])
def test_what_is_a_copy(one: str, other: str, equal_ignoring: set[str], ignore: Ignore) -> None:
    outcome = remove_exact(digest_texts([one, other], ignore), np.full(2, np.nan), ids(2))
    assert (len(outcome.indices) == 1) == (ignore in equal_ignoring)


def test_the_best_copy_stays_and_is_named() -> None:
    outcome = remove_exact([b"a", b"a", b"b", b"a"], np.array([1.0, 3.0, 2.0, np.nan]), ids(4))
    np.testing.assert_array_equal(outcome.indices, [1, 2])
    assert list(outcome.reasons) == ["exact_duplicate", "", "", "exact_duplicate"]
    np.testing.assert_array_equal(outcome.because_of, [1, -1, -1, 1])
    np.testing.assert_array_equal(outcome.value, [1, np.nan, np.nan, 1])


@given(st.lists(st.tuples(st.sampled_from("abc "), st.sampled_from([0.0, 1.0, np.nan]))))
def test_one_of_each_text_stays(rows: list[tuple[str, float]]) -> None:
    digests = digest_texts([text for text, _ in rows], "whitespace")
    scores = np.array([score for _, score in rows])
    outcome = remove_exact(digests, scores, ids(len(rows)))
    left = [digests[row] for row in outcome.indices]
    assert sorted(set(digests) - {b""}) == sorted(digest for digest in left if digest)
    assert left.count(b"") == digests.count(b"")
    for row in outcome.indices:
        if digests[row]:
            copies = [scores[i] for i, digest in enumerate(digests) if digest == digests[row]]
            assert np.nan_to_num(scores[row], nan=-1) == max(np.nan_to_num(copies, nan=-1))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        remove_exact([b"a"], np.ones(2), ids(2))
