import numpy as np
import pytest

from pipeline.ranking.outcome import account_for, no_reasons, spread


def reasons(*texts: str) -> np.ndarray:
    return np.array(texts, dtype=object)


def test_every_row_is_accounted_for() -> None:
    outcome = account_for(np.array([2, 0]), reasons("", "no_score", ""), np.full(3, np.nan))
    np.testing.assert_array_equal(outcome.because_of, [-1, -1, -1])
    assert list(outcome.remarks) == ["", "", ""]


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


def test_what_was_made_of_some_rows_is_said_of_all() -> None:
    some = account_for(
        np.array([1]),
        reasons("too_similar", "", "no_score"),
        np.array([0.5, 0.7, np.nan]),
        np.array([1, -1, -1]),
        reasons("", "no_alternative", ""),
    )
    told = spread(some, np.array([4, 2, 0]), reasons("", "too_short", "", "", ""))
    assert list(told.reasons) == ["no_score", "too_short", "", "", "too_similar"]
    np.testing.assert_array_equal(told.indices, [2, 3])
    np.testing.assert_array_equal(told.because_of, [-1, -1, -1, -1, 2])
    np.testing.assert_array_equal(told.value, [np.nan, np.nan, 0.7, np.nan, 0.5])
    assert list(told.remarks) == ["", "", "no_alternative", "", ""]
