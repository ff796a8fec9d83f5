import numpy as np
import pytest

from pipeline.dedupe.signatures import EMPTY, rows_per_band, shared_bands, sign_texts
from pipeline.text.shingles import Shingling


def test_a_signature_follows_from_the_text_alone() -> None:
    texts = ["a b c d e f g", "", "one two", "?!"]
    together = sign_texts(texts, Shingling(), 32)
    apart = np.concatenate([sign_texts([text], Shingling(), 32) for text in texts])
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal((together == EMPTY).all(axis=1), [False, True, False, False])


def test_places_agree_as_often_as_shingles_do() -> None:
    # 40 of 60 shingles are shared: J = 2/3, and 1 024 places estimate it to about 0.015.
    words = [f"w{i}" for i in range(60)]
    signatures = sign_texts(
        [" ".join(words[:50]), " ".join(words[10:])], Shingling("words", 1), 1024
    )
    assert abs((signatures[0] == signatures[1]).mean() - 2 / 3) < 0.05


def test_bands_are_shared_where_all_their_places_agree() -> None:
    signatures = np.array(
        [[1, 2, 3, 4], [1, 2, 9, 9], [5, 2, 3, 4], [1, 8, 8, 8], [EMPTY] * 4, [EMPTY] * 4],
        dtype=np.uint32,
    )
    rows, bands = shared_bands(signatures, 2)
    np.testing.assert_array_equal(rows, [0, 1, 2])
    shared = [set(each) for each in bands]
    assert len(shared[0] & shared[1]) == len(shared[0] & shared[2]) == 1
    assert not shared[1] & shared[2]
    assert [len(part) for part in shared_bands(signatures[4:], 2)] == [0, 0]


def test_places_left_over_make_no_band() -> None:
    signatures = np.array([[1, 2, 7], [1, 3, 7]], dtype=np.uint32)
    assert len(shared_bands(signatures, 2)[0]) == 0
    assert len(shared_bands(signatures, 1)[0]) == 2


def test_too_few_permutations_are_refused() -> None:
    # 0.9^65 is 0.00106 and 0.9^66 is 0.00095.
    assert rows_per_band(0.1, 66) == 1
    with pytest.raises(ValueError, match="take 66 or more"):
        rows_per_band(0.1, 65)
