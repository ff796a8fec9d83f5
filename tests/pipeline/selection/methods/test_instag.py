from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.ranking.budget import Budget
from pipeline.selection.methods.instag import select_instag

ALL = Budget(fraction=1.0)


def column(*tags: Sequence[str] | None) -> np.ndarray:
    cells = np.empty(len(tags), dtype=object)
    cells[:] = [None if each is None else list(each) for each in tags]
    return cells


def letters(n: int) -> np.ndarray:
    return np.array(list("abcdefghij")[:n], dtype=object)


def pool(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Up to five of 30 tags each, some far more frequent than others."""
    rng = np.random.default_rng(n)
    weights = 1 / np.arange(1, 31)
    names = np.array([f"t{at}" for at in range(30)])
    rows = [
        rng.choice(names, rng.integers(0, 6), replace=False, p=weights / weights.sum()).tolist()
        for _ in range(n)
    ]
    ids = np.array([f"{i:04x}" for i in rng.permutation(n)], dtype=object)
    return column(*rows), ids


def plain(tags: np.ndarray, ids: np.ndarray, rows: int, again: bool = True) -> list[int]:
    """The loop as it is told: sort, walk, clear, walk again."""
    order = sorted(range(len(ids)), key=lambda at: (-len(tags[at]), ids[at]))
    picks: list[int] = []
    while True:
        seen: set[str] = set()
        left = [at for at in order if at not in picks]
        for at in left:
            if len(picks) < rows and set(tags[at]) - seen:
                picks.append(at)
                seen |= set(tags[at])
        if not seen or not again or len(picks) == rows:
            return picks


def test_a_row_is_picked_if_it_brings_a_new_tag_and_then_all_over_again() -> None:
    tags = column("xyz", "xy", "zw", "w", None, "", "x")
    outcome = select_instag(tags, letters(7), ALL)
    # Pass 1: a brings x, y, z and c brings w. Pass 2: b x, y and d w. Pass 3: g.
    assert outcome.indices.tolist() == [0, 2, 1, 3, 6]
    assert list(outcome.reasons) == ["", "", "", "", "no_tags", "no_tags", ""]
    np.testing.assert_array_equal(outcome.value, [3, 2, 2, 1, np.nan, 0, 1])


def test_in_one_pass_a_row_without_a_new_tag_names_the_pick_that_took_the_last() -> None:
    tags = column("xyz", "xy", "zw", "w", "zw")
    outcome = select_instag(tags, letters(5), ALL, again=False)
    assert outcome.indices.tolist() == [0, 2]
    assert list(outcome.reasons) == ["", "no_new_tag", "", "no_new_tag", "no_new_tag"]
    assert outcome.because_of.tolist() == [-1, 0, -1, 2, 2]


def test_rows_not_reached_are_over_budget() -> None:
    tags = column("xyz", "xy", "xw", "x", "v")
    outcome = select_instag(tags, letters(5), Budget(rows=2))
    assert outcome.indices.tolist() == [0, 2]
    assert list(outcome.reasons) == ["", "no_new_tag", "", "over_budget", "over_budget"]


@pytest.mark.parametrize("rows", [1, 20, 150, 290])
@pytest.mark.parametrize("again", [False, True])
def test_the_picks_are_those_of_the_plain_loop(rows: int, again: bool) -> None:
    tags, ids = pool()
    outcome = select_instag(tags, ids, Budget(rows=rows), again=again)
    assert outcome.indices.tolist() == plain(tags, ids, rows, again)


def test_after_the_first_pass_every_tag_of_the_pool_is_there() -> None:
    tags, ids = pool()
    outcome = select_instag(tags, ids, ALL, again=False).indices
    assert set().union(*tags[outcome]) == set().union(*tags)
    assert len(outcome) < 30


def test_within_a_pass_the_numbers_of_tags_do_not_rise() -> None:
    tags, ids = pool()
    first = len(select_instag(tags, ids, ALL, again=False).indices)
    counts = np.array([len(tags[at]) for at in select_instag(tags, ids, ALL).indices])
    assert (np.diff(counts[:first]) <= 0).all()
    assert counts[first] > counts[first - 1], "and then the next pass begins at the top"


def test_a_score_orders_the_rows_instead() -> None:
    tags = column("xyz", "x", "y", "x")
    scores = np.array([1.0, 3.0, 2.0, np.nan])
    outcome = select_instag(tags, letters(4), ALL, scores=scores, again=False)
    assert outcome.indices.tolist() == [1, 2, 0]
    assert outcome.reasons[3] == "no_score"
    np.testing.assert_array_equal(outcome.value, scores)


def test_ends_before_the_first_pick_that_does_not_fit() -> None:
    tags, tokens = column("xyz", "wx", "v"), np.array([10, 11, 1])
    outcome = select_instag(tags, letters(3), Budget(loss_tokens=20), tokens)
    assert outcome.indices.tolist() == [0]


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        select_instag(column("x"), letters(2), ALL)
    with pytest.raises(ValueError, match="infinite"):
        select_instag(column("x"), letters(1), ALL, scores=np.array([np.inf]))
