import numpy as np
import pytest

from pipeline.selection.picked import account_for, no_reasons


def reasons(*texts: str) -> np.ndarray:
    return np.array(texts, dtype=object)


def test_every_row_is_accounted_for() -> None:
    picked = account_for(np.array([2, 0]), reasons("", "no_score", ""), np.full(3, np.nan))
    np.testing.assert_array_equal(picked.because_of, [-1, -1, -1])
    assert list(picked.remarks) == ["", "", ""]


@pytest.mark.parametrize(
    ("indices", "texts"),
    [
        ([0], ("", "")),  # row 1 is neither picked nor out
        ([0, 1], ("", "no_score")),  # row 1 is both
        ([0, 0], ("", "no_score")),  # row 0 is picked twice
        ([0, 2], ("", "no_score")),  # there is no row 2
    ],
)
def test_books_that_do_not_balance_are_refused(indices: list[int], texts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"2 rows: . picked and . with a reason"):
        account_for(np.array(indices), reasons(*texts), np.full(2, np.nan))


def test_a_reason_not_on_the_list_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown reasons.*'dunno'"):
        account_for(np.array([0]), reasons("", "dunno"), np.full(2, np.nan))


def test_no_reasons_are_empty_texts_of_any_length() -> None:
    empty = no_reasons(2)
    empty[0] = "not_best_candidate"
    assert list(empty) == ["not_best_candidate", ""]
