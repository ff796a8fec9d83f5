r"""A tree of answers to one prompt, step by step, and its search by visits and values.

    go down from the root by the child of the highest   Q + w sqrt(N parent) / (n (1 + N))
    where a node has no children yet: ask for answers that go on from it, whose first steps they are
    r = v - v parent       Q = r + g V       V = sum max(1, N) Q / sum max(1, N) over the children

v is the value of a node by itself, N counts its visits, n are its siblings with it, w weighs
exploration and g later rewards. A node keeps the whole answer that its step is of, so that each
branch is known to an end. This is the PUCT of Xie et al. 2024, arXiv:2405.00451, where each child
has its likelihood in place of 1/n.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TypeAlias

from pipeline.generation.maker import CallPlace, Wanted
from pipeline.measuring.measures.samples import Sampled

SAME_VALUE = 1e-9
"""Values that differ by less are the same."""


@dataclass(slots=True, eq=False)
class StepNode:
    """One step of an answer, behind those of its parents."""

    begun: str
    """The answer up to the end of this step; "" at the root."""
    whole: str
    """The answer that it is of, to its end."""
    value: float
    calls: Sequence[CallPlace] = ()
    """What was asked for it, and about it."""
    given: bool = False
    """Whether the answer is the row's own."""
    parent: "StepNode | None" = None
    children: list["StepNode"] = field(default_factory=list)
    visits: int = 0
    ahead: float = 0.0
    """V: what its children came to."""
    gain: float = 0.0
    """Q."""

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self.begun == self.whole

    @property
    def depth(self) -> int:
        """Steps up to its end."""
        return 0 if self.parent is None else 1 + self.parent.depth

    def below(self) -> Iterator["StepNode"]:
        """Itself and all that come of it."""
        yield self
        for child in self.children:
            yield from child.below()


Expanding: TypeAlias = Generator[Wanted, Sequence[Sampled], list[StepNode]]
"""Asks for steps behind a node and what they are worth; its children, whose parent is not set."""


def search_steps(
    root: StepNode,
    expand: Callable[[StepNode], Expanding],
    *,
    iterations: int,
    depth: int,
    exploration: float,
    discount: float,
) -> Generator[Wanted, Sequence[Sampled], None]:
    """Grow a tree.

    Args:
        root: without children.
        expand: what may follow a node; nothing, where no step could be had.
        iterations: how often one goes down; of these such ask as end where steps may follow.
        depth: steps that are searched; what follows is as its answer has it.
        exploration: w.
        discount: g.
    """
    for _ in range(iterations):
        node = root
        while node.children:
            node = max(node.children, key=lambda child: promise(child, exploration))
        if not node.ended and node.depth < depth and not node.visits:
            node.children = yield from expand(node)
            for child in node.children:
                child.parent = node
                child.gain = child.value - node.value
        credit(node, discount)


def promise(node: StepNode, exploration: float) -> float:
    """What one goes down by; of equal ones the first child is taken."""
    assert node.parent is not None
    share = 1 / len(node.parent.children)
    return node.gain + exploration * share * sqrt(node.parent.visits) / (1 + node.visits)


def credit(node: StepNode | None, discount: float) -> None:
    """Count a visit of a node and of all before it, and renew what they came to."""
    while node is not None:
        node.visits += 1
        if node.children:
            weights = [max(1, child.visits) for child in node.children]
            gains = (child.gain * n for child, n in zip(node.children, weights, strict=True))
            node.ahead = sum(gains) / sum(weights)
        before = node.parent.value if node.parent else 0.0
        node.gain = node.value - before + discount * node.ahead
        node = node.parent


@dataclass(frozen=True, slots=True)
class StepPair:
    """Two answers that are the same up to a step, of which one is worth more."""

    better: StepNode
    worse: StepNode


def find_pairs(root: StepNode, margin: float, least: float = float("-inf")) -> Iterator[StepPair]:
    """At each step of the way that was taken most, the best and the worst sibling; the last first.

    The way goes by visits, then by gain. A pair has the best answer below the one, and the worst
    below the other; no answer is the better one of two pairs, and the later step has it.

    Args:
        root: of a tree that was searched.
        margin: the least that the gains of the siblings must differ by.
        least: what the better answer must be worth.
    """
    way: list[tuple[StepNode, StepNode]] = []
    node = root
    while node.children:
        best = max(node.children, key=lambda child: (child.visits, child.gain))
        way.append((best, min(node.children, key=lambda child: child.gain)))
        node = best
    taken: set[str] = set()
    for best, worst in reversed(way):
        worse = min(worst.below(), key=lambda each: each.value)
        left = [e for e in best.below() if e.whole not in taken and e.value >= least]
        better = max(left, key=lambda each: each.value, default=worse)
        ahead = best is not worst and best.gain - worst.gain >= margin
        if ahead and better.value - worse.value >= SAME_VALUE:
            taken.add(better.whole)
            yield StepPair(better, worse)
