"""A soup is the mean of its members, and no worse than the best where it is greedy."""

import pytest

from fine_tune.soup_training import choose_greedily


def test_a_member_stays_with_which_the_mean_is_no_worse() -> None:
    losses = {(2, 0): 1.5, (2, 0, 1): 1.6, (2, 0, 3): 1.5}
    asked: list[tuple[int, ...]] = []

    def loss_of(members: list[int]) -> float:
        asked.append(tuple(members))
        return losses[tuple(members)]

    assert choose_greedily([2.0, 3.0, 1.7, 4.0], loss_of) == [2, 0, 3]
    assert asked == [(2, 0), (2, 0, 1), (2, 0, 3)]


@pytest.mark.parametrize("alone", [[1.0], [1.0, 1.0, 2.0]])
def test_the_best_alone_is_a_soup(alone: list[float]) -> None:
    assert choose_greedily(alone, lambda _: 9.0) == [0]
