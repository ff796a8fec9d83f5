"""A tree of steps: its arithmetic by hand, where a search goes, and which pairs come of it."""

from collections.abc import Mapping, Sequence

import pytest

from pipeline.generation.step_tree import (
    Expanding,
    StepNode,
    credit,
    find_pairs,
    promise,
    search_steps,
)

VALUES = {"": (1.0, 0.0), "a": (0.5, 2.0), "b": (0.25,), "ab": ()}
"""Node → the values of what may follow it; the steps are a, b, and so on."""


def grow(
    values: Mapping[str, Sequence[float]] = VALUES,
    *,
    iterations: int = 2,
    depth: int = 3,
    exploration: float = 1.0,
    discount: float = 0.5,
) -> tuple[StepNode, list[str]]:
    """The root of a tree that was searched, and the nodes that grew, in order."""
    grown: list[str] = []

    def expand(node: StepNode) -> Expanding:
        grown.append(node.begun)
        steps = enumerate(values.get(node.begun, ()))
        return [
            StepNode(f"{node.begun}{'abc'[at]}", f"{node.begun}{'abc'[at]}.", value)
            for at, value in steps
        ]
        yield  # a generator, though it asks nothing

    root = StepNode("", "\n", 0.0)
    search = search_steps(
        root,
        expand,
        iterations=iterations,
        depth=depth,
        exploration=exploration,
        discount=discount,
    )
    with pytest.raises(StopIteration):
        next(search)
    return root, grown


def test_values_and_visits_are_those_by_hand() -> None:
    root, grown = grow()
    a, b = root.children
    assert grown == ["", "a"], "a promises 1 + 1/2, b 0 + 1/2"
    assert [child.gain for child in a.children] == [0.5 - 1, 2 - 1]
    assert (a.ahead, a.gain, a.visits) == (0.25, 1 + 0.5 * 0.25, 1)
    assert (b.ahead, b.gain, b.visits) == (0, 0, 0)
    assert (root.ahead, root.visits) == ((1.125 + 0) / 2, 2)
    assert promise(b, 3.0) == 0 + 3 * (1 / 2) * 2**0.5 / (1 + 0)
    assert promise(a, 3.0) == 1.125 + 3 * (1 / 2) * 2**0.5 / (1 + 1)
    credit(a, 0.5)
    assert root.ahead == (2 * a.gain + 1 * b.gain) / 3, "a was visited twice, b counts as once"


def test_what_is_rarely_visited_is_gone_to_where_that_counts() -> None:
    assert grow(exploration=0.0)[1] == ["", "a"]
    assert grow(iterations=3, exploration=9.0)[1] == ["", "a", "b"]


@pytest.mark.parametrize("iterations", [1, 5, 20])
def test_children_are_visited_no_oftener_than_their_parent(iterations: int) -> None:
    root, grown = grow(iterations=iterations)
    assert root.visits == iterations and len(grown) == len({*grown})
    for node in root.below():
        assert sum(child.visits for child in node.children) <= node.visits


def test_no_step_follows_an_end_or_the_last_depth_and_nothing_is_asked_again() -> None:
    assert max(node.depth for node in grow(iterations=9, depth=1)[0].below()) == 1
    root = StepNode("", "\n", 0.0)
    ended = StepNode("x", "x", 1.0, parent=root)
    root.children = [ended]
    search = search_steps(
        root, lambda node: pytest.fail(), iterations=3, depth=9, exploration=1, discount=1
    )
    assert [*search] == [] and ended.visits == 3
    _, grown = grow({"": ()}, iterations=4)
    assert grown == [""], "a node from which nothing could be had is not asked of again"


def test_pairs_are_of_siblings_along_the_way_that_was_taken_most() -> None:
    root, _ = grow()
    told = [(pair.better.whole, pair.worse.whole) for pair in find_pairs(root, 0.1)]
    # Behind a step ab is best, and taken: of the answers behind a that of a itself is next.
    assert told == [("ab.", "aa."), ("a.", "b.")]
    assert [pair.worse.begun for pair in find_pairs(root, 1.2)] == ["aa"], "a is 1.125 ahead of b"
    assert [*find_pairs(grow({"": (1.0, 1.0)})[0], 0.0)] == [], "none is better"
    assert [*find_pairs(grow({"": (1.0,)})[0], 0.0)] == [], "none is beside it"


def tree(*children: StepNode) -> StepNode:
    """A root with these children."""
    root = StepNode("", "\n", 0.0)
    root.children = [*children]
    return root


def test_the_way_goes_by_visits_and_then_by_gain() -> None:
    often = StepNode("a", "a.", 0.4, visits=2, gain=0.4)
    seldom = StepNode("b", "b.", 0.9, visits=1, gain=0.9)
    poor = StepNode("c", "c.", 0.1, visits=1, gain=0.1)
    (pair,) = find_pairs(tree(poor, seldom, often), 0.1)
    assert (pair.better, pair.worse) == (often, poor)
    assert len([*find_pairs(tree(poor, often), 0.1, 0.4)]) == 1
    assert [*find_pairs(tree(poor, often), 0.1, 0.5)] == [], "it is not worth enough"


def test_an_answer_that_is_worth_no_more_is_not_the_better_one() -> None:
    first, second = StepNode("aa", "aa.", 2.0, gain=2.0), StepNode("ab", "ab.", 0.0)
    best = StepNode("a", "a.", 0.2, visits=1, gain=1.0, children=[first, second])
    worst = StepNode("b", "b.", 0.3, gain=0.3)
    # At the later step aa is taken, and what is left behind a is worth less than b.
    assert [pair.better for pair in find_pairs(tree(best, worst), 0.1)] == [first]
    alone = StepNode("a", "a.", 0.2, visits=1, gain=1.0, children=[first])
    assert [*find_pairs(tree(alone), 0.0)] == []


def test_the_worst_answer_behind_the_worst_step_is_the_worse_one() -> None:
    # b was gone to, and what follows it is worse than it; a ends there.
    root, grown = grow({"": (0.5, 0.4), "b": (0.3, -1.0)}, iterations=3, exploration=9.0)
    assert "b" in grown
    (pair,) = find_pairs(root, 0.1)
    assert (pair.better.whole, pair.worse.whole) == ("a.", "bb.")
