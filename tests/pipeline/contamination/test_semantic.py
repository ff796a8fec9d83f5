"""Semantic neighbours, on vectors whose cosines are known."""

import numpy as np
import pytest

from pipeline.contamination.semantic import SemanticMatcher, item_text
from pipeline.contamination.texts import Item, RowBlock, TurnText

ITEMS = [Item(0, n, f"prompt {n}", "") for n in range(3)]
NONE = [np.nan, np.nan]
VECTORS = np.array([[1.0, 0.0], [0.6, 0.8], NONE])


def block(*vectors: list[float]) -> RowBlock:
    rows = [
        [TurnText("user", f"row {n}"), TurnText("assistant", "fine")] for n in range(len(vectors))
    ]
    return RowBlock([str(n) for n in range(len(vectors))], rows, np.array(vectors))


def test_pairs_at_or_above_the_threshold_are_found() -> None:
    matcher = SemanticMatcher(ITEMS, VECTORS, "prompt", 0.8)
    matches = matcher.find(block([0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]))
    # (0.8, 0.6) has the cosines 0.8 and 0.96, (0, 1) has 0 and 0.8
    found = [(m.row, m.item, m.matched, m.similarity) for m in matches]
    assert found == [(0, 0, "prompt", 0.8), (0, 1, "prompt", 0.96), (1, 1, "prompt", 0.8)]
    assert matches[0].evidence == {"item_text": "prompt 0", "row_text": "row 0"}


def test_the_threshold_is_decided_to_six_decimals() -> None:
    below, at = 0.799999, 0.8000004
    rows = block([below, np.sqrt(1 - below**2)], [at, np.sqrt(1 - at**2)])
    matches = SemanticMatcher(ITEMS[:1], VECTORS[:1], "prompt", 0.8).find(rows)
    assert [(m.row, m.similarity) for m in matches] == [(1, 0.8)]


def test_equal_vectors_have_a_similarity_of_one() -> None:
    draw = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    units = (draw / np.linalg.norm(draw, axis=1, keepdims=True)).astype(np.float64)
    items = [Item(0, n, "p", "") for n in range(50)]
    rows = RowBlock([""] * 50, [[TurnText("user", "p")]] * 50, units)
    matches = SemanticMatcher(items, units, "prompt", 1.0).find(rows)
    assert [(m.row, m.item, m.similarity) for m in matches] == [(n, n, 1.0) for n in range(50)]


def test_what_has_no_embedding_matches_nothing_and_is_told() -> None:
    matcher = SemanticMatcher(ITEMS, VECTORS, "prompt", 0.1)
    assert matcher.find(block(NONE)) == []
    assert matcher.find(block([])) == []
    assert matcher.checked["prompt"].tolist() == [True, True, False]
    assert not matcher.checked["answer"].any()


def test_blocks_make_no_difference() -> None:
    draw = np.random.default_rng(1).normal(size=(40, 8))
    units = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    items = [Item(0, n, "p", "") for n in range(20)]
    matcher = SemanticMatcher(items, units[:20], "prompt", 0.3)
    whole = matcher.find(block(*units[20:].tolist()))
    single = [matcher.find(block(vector)) for vector in units[20:].tolist()]
    assert len(whole) > 10
    assert [(m.row, m.item, m.similarity) for m in whole] == [
        (row, m.item, m.similarity) for row, found in enumerate(single) for m in found
    ]


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="a vector for each of 3 items"):
        SemanticMatcher(ITEMS, VECTORS[:2], "prompt", 0.5)
    with pytest.raises(ValueError, match="threshold above 0 and at most 1"):
        SemanticMatcher(ITEMS, VECTORS, "prompt", 1.5)
    with pytest.raises(ValueError, match="the block has none"):
        SemanticMatcher(ITEMS, VECTORS, "prompt", 0.5).find(RowBlock([], [], None))


def test_the_text_that_is_embedded() -> None:
    item = Item(0, 1, "question", "answer")
    assert [item_text(item, of) for of in ("prompt", "response", "both")] == [
        "question",
        "answer",
        "question\n\nanswer",
    ]
    assert item_text(Item(0, 1, "question", ""), "both") == ""
