import numpy as np
import pytest

from scorers.context_dependency import score_context_dependency

COLUMNS = (
    np.array([0.9, 0.4, np.nan]),
    np.array([0.5, 0.4, np.nan]),
    np.array([0.8, 0.3, np.nan]),
    np.array([0.2, 0.1, np.nan]),
)


@pytest.mark.parametrize(
    ("turns", "heads", "column"),
    [
        ("all", "per_token", 0),
        ("current", "per_token", 1),
        ("all", "of_means", 2),
        ("current", "of_means", 3),
    ],
)
def test_each_setting_reads_its_column(turns: str, heads: str, column: int) -> None:
    values = score_context_dependency(*COLUMNS, turns=turns, heads=heads)
    np.testing.assert_array_equal(values, COLUMNS[column])


def test_by_default_all_turns_and_the_maximum_of_each_token() -> None:
    np.testing.assert_array_equal(score_context_dependency(*COLUMNS), [0.9, 0.4, np.nan])


@pytest.mark.parametrize(("turns", "heads"), [("last", "per_token"), ("all", "mean")])
def test_another_word_is_refused(turns: str, heads: str) -> None:
    with pytest.raises(ValueError, match='"all" or "current"'):
        score_context_dependency(*COLUMNS, turns=turns, heads=heads)


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        score_context_dependency(np.array([1.2]), *(each[:1] for each in COLUMNS[1:]))
