import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.measures.reading.prefix_tree import Packs, Tree, build_tree, pack_tree

TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=30), min_size=1, max_size=12)


def spell(tree: Tree, text: int) -> list[int]:
    """The tokens on the path to where a text ends, each at the position it is said to have."""
    tokens: list[int] = []
    for run in tree.path(tree.ends[text]):
        assert tree.runs[run].start == len(tokens)
        tokens += tree.runs[run].ids
    return tokens


def tokens_in(packs: Packs) -> list[int]:
    sizes = [len(run.ids) for run in packs.tree.runs]
    filled: list[int] = np.bincount(packs.pack, weights=sizes).astype(int).tolist()
    return filled


@given(TEXTS, st.integers(0, 5), st.sampled_from([1, 3, 9, 40]))
def test_every_text_can_be_read_off_the_tree(
    texts: list[list[int]], copies: int, most: int
) -> None:
    texts = texts + texts[:copies] + [text[: len(text) // 2 + 1] for text in texts]
    tree = build_tree(texts)
    packs = pack_tree(tree, most)
    for number, text in enumerate(texts):
        assert spell(tree, number) == text == spell(packs.tree, number)
    assert max(tokens_in(packs)) <= most
    parents = [run.parent for run in packs.tree.runs]
    assert all(parent is None or parent < run for run, parent in enumerate(parents))


@given(TEXTS, st.sampled_from([1, 3, 9]))
def test_a_run_is_kept_as_long_as_a_text_goes_on_from_it(texts: list[list[int]], most: int) -> None:
    packs = pack_tree(build_tree(texts), most)
    assert (np.diff(packs.pack) >= 0).all()
    wanted = packs.pack.copy()
    for run in range(len(packs.tree.runs)):
        for above in packs.tree.path(run):
            wanted[above] = max(wanted[above], packs.pack[run])
    np.testing.assert_array_equal(packs.needed, wanted)


def test_what_texts_have_in_common_is_there_once() -> None:
    system, prompt, answers = [1] * 10, [2] * 10, [[3] * 10, [4] * 10, [5] * 10]
    other = system + [6] * 10
    tree = build_tree([*(system + prompt + answer for answer in answers), other])
    assert sorted(len(run.ids) for run in tree.runs) == [10] * 6  # not 4 texts of 20 and 30
    assert [len(tree.path(end)) for end in tree.ends] == [3, 3, 3, 2]


def test_three_tokens_in_common_are_read_twice() -> None:
    assert len(build_tree([[1, 2, 3, 4], [1, 2, 3, 5]]).runs) == 2
    assert len(build_tree([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6]]).runs) == 3


def test_packs_are_full_and_a_run_goes_on_in_the_next() -> None:
    packs = pack_tree(build_tree([[1] * 25, [2] * 25, [3] * 30]), 32)
    assert tokens_in(packs) == [25, 25, 30]  # 7 tokens of room left: too few for a piece
    assert tokens_in(pack_tree(build_tree([[1] * 20, [2] * 25, [3] * 30]), 32)) == [32, 32, 11]


@pytest.mark.parametrize("most", [1, 5, 100])
def test_no_text_no_pack(most: int) -> None:
    packs = pack_tree(build_tree([]), most)
    assert packs.tree.runs == [] and packs.tree.ends == [] and len(packs.pack) == 0
