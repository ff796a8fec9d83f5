import numpy as np
import pytest

from pipeline.ranking.budget import Budget, within_budget

TOKENS = np.array([10, 20, 30, 5])
ORDER = np.array([2, 0, 1, 3])


@pytest.mark.parametrize(
    "limits", [{}, {"rows": 3, "fraction": 0.5}, {"rows": 0, "loss_tokens": 0}]
)
def test_exactly_one_limit_is_given(limits: dict) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Budget(**limits)


@pytest.mark.parametrize("limits", [{"rows": -1}, {"loss_tokens": -1}])
def test_a_negative_limit_is_an_error(limits: dict) -> None:
    with pytest.raises(ValueError, match="negative"):
        Budget(**limits)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_a_fraction_is_a_share(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction must be"):
        Budget(fraction=fraction)


@pytest.mark.parametrize(("rows", "kept"), [(0, []), (3, [2, 0, 1]), (9, [2, 0, 1, 3])])
def test_rows(rows: int, kept: list[int]) -> None:
    np.testing.assert_array_equal(within_budget(ORDER, Budget(rows=rows), 4), kept)


def test_a_fraction_is_of_the_pool_not_of_the_order_and_rounds_down() -> None:
    assert len(within_budget(np.arange(60), Budget(fraction=0.29), 100)) == 29
    assert len(within_budget(np.arange(60), Budget(fraction=0.299), 100)) == 29
    assert len(within_budget(np.arange(60), Budget(fraction=1.0), 100)) == 60


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (0, []),
        (29, []),  # the first does not fit; the third and fourth would, and are not taken
        (30, [2]),
        (39, [2]),
        (45, [2, 0]),  # row 3 has 5 tokens and would fill it up, but row 1 came first
        (65, [2, 0, 1, 3]),
    ],
)
def test_tokens_stop_at_the_first_row_that_does_not_fit(limit: int, kept: list[int]) -> None:
    picks = within_budget(ORDER, Budget(loss_tokens=limit), 4, TOKENS)
    np.testing.assert_array_equal(picks, kept)


def test_rows_without_tokens_do_not_trail_a_spent_budget() -> None:
    tokens = np.array([10, 0, 0])
    np.testing.assert_array_equal(
        within_budget(np.arange(3), Budget(loss_tokens=10), 3, tokens), [0]
    )


@pytest.mark.parametrize("tokens", [None, np.array([1, 2]), np.array([1, 2, -1, 4])])
def test_a_budget_in_tokens_needs_the_tokens(tokens: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match="loss tokens of all 4 rows"):
        within_budget(ORDER, Budget(loss_tokens=10), 4, tokens)
