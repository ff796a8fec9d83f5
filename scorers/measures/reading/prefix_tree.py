"""Many token sequences as one tree, so that what several begin with is read once.

Answers to one prompt share the prompt; all rows of a chat template share its system turn; all
responses that are read without their prompt share the assistant's header. A causal model gives the
same keys and values for the same beginning, so a tree has them all:

    "S P Q  A"                    S ┬ P Q ┬ A
    "S P Q  B"         ->           │     └ B
    "S R    C"                      └ R C

The tree is cut into packs of at most so many tokens, in depth-first order. A run of tokens that
crosses the end of a pack goes on in the next one, behind its own first part: packs are full, and a
text longer than a pack needs no more memory than a pack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_SHARED = 4
"""Fewer tokens in common than this are read twice: a run of its own costs about as much."""

LEAST_PIECE = 8  # a run is not cut for less room than this at the end of a pack


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens that follow on the tokens of another run."""

    ids: Sequence[int]
    start: int  # position of the first of them in every text that holds them
    parent: int | None  # number of the run before; None at the beginning of a text

    @property
    def end(self) -> int:
        """Position behind the last."""
        return self.start + len(self.ids)


@dataclass(frozen=True, slots=True)
class Tree:
    """Runs, parents before children, and the run in which each text ends."""

    runs: list[Run]
    ends: list[int]  # (texts,) numbers of runs, in the order of the texts

    def path(self, run: int) -> list[int]:
        """Numbers of the runs from the beginning of a text to this one, itself the last."""
        path = [run]
        while (parent := self.runs[path[-1]].parent) is not None:
            path.append(parent)
        return path[::-1]


@dataclass(frozen=True, slots=True)
class Packs:
    """A tree whose runs are cut so that each lies in one pack."""

    tree: Tree
    pack: NDArray[np.int64]  # (runs,) number of the pack that each run is in; never falls
    needed: NDArray[np.int64]
    """(runs,) number of the last pack in which some text goes on from this run."""


class _Group(NamedTuple):
    """Texts in sorted order that are alike up to a place."""

    first: int  # of the texts
    last: int  # exclusive
    start: int  # up to which they are alike
    parent: int | None  # where the runs from the root to there end


def build_tree(texts: Sequence[Sequence[int]]) -> Tree:
    """The tree of some texts, none of them empty.

    Sorted by their tokens, texts that share a beginning stand side by side.
    """
    order = sorted(range(len(texts)), key=lambda i: list(texts[i]))
    ordered = [texts[i] for i in order]
    shared = [0, *(shared_length(a, b) for a, b in pairwise(ordered))]  # with the text before
    runs: list[Run] = []
    ends = [0] * len(texts)
    # A stack, so that runs come out depth first.
    groups = [_Group(0, len(texts), 0, None)] if texts else []
    while groups:
        first, last, start, parent = groups.pop()
        text = ordered[first]
        # In sorted order all of a group share what the least alike neighbours in it share.
        end = len(text) if last == first + 1 else min(shared[first + 1 : last])
        if end - start >= LEAST_SHARED or last == first + 1:
            if end > start:  # not so for a text that others go on from: it ends with their run
                runs.append(Run(text[start:end], start, parent))
                start, parent = end, len(runs) - 1
            if last == first + 1:
                assert parent is not None  # no text is empty, so it has a run
                ends[order[first]] = parent
                continue
        # A part begins where a text has too little more in common with the one before it.
        cuts = [i for i in range(first + 1, last) if shared[i] - start < LEAST_SHARED]
        parts = [_Group(a, b, start, parent) for a, b in pairwise([first, *cuts, last])]
        groups += reversed(parts)  # the first part is popped first
    return Tree(runs, ends)


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading tokens two texts have in common."""
    most = min(len(one), len(other))
    differ = np.flatnonzero(np.not_equal(one[:most], other[:most]))
    return int(differ[0]) if differ.size else most  # one is the beginning of the other


def pack_tree(tree: Tree, most_tokens: int) -> Packs:
    """Cut a tree into packs of at most `most_tokens` tokens each, in the order of its runs."""
    runs: list[Run] = []
    packs: list[int] = []
    last_piece: list[int] = []  # of each run of the tree: what its children follow on
    pack, room = 0, most_tokens
    for run in tree.runs:
        parent = None if run.parent is None else last_piece[run.parent]
        start = run.start
        while start < run.end:
            left = run.end - start
            # The end of a pack stays empty where it has no room for a piece worth cutting off.
            if room == 0 or (room < left and room < min(LEAST_PIECE, most_tokens)):
                pack, room = pack + 1, most_tokens
            size = min(left, room)
            at = start - run.start
            runs.append(Run(run.ids[at : at + size], start, parent))
            packs.append(pack)
            parent, start, room = len(runs) - 1, start + size, room - size
        assert parent is not None  # no run is empty
        last_piece.append(parent)
    needed = np.array(packs, dtype=np.int64)
    # Backwards, children come before their parents: each has its own number before it is handed on.
    for number in range(len(runs) - 1, -1, -1):
        above = runs[number].parent
        if above is not None:
            needed[above] = max(needed[above], needed[number])
    cut = Tree(runs, [last_piece[end] for end in tree.ends])
    return Packs(cut, np.array(packs, dtype=np.int64), needed)
