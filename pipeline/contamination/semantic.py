"""Semantic neighbours: rows whose embeddings point the same way as an item's.

    similarity = cosine(row, item), a match at or above a threshold; higher is nearer

What it is for: paraphrases, reordered and translated texts, changed numbers, which share no long
run of words. It also finds different tasks in the same words, the more of them the lower the
threshold; such hits are to be read, not removed unseen. It compares one text of each row as a
whole, so it misses an item that is a small part of a long row.

Every pair is compared, none is approximated: a flat FAISS index of the items proposes pairs in
float32, and those within its rounding error are decided in float64. Cost: rows times items.
"""

from collections.abc import Mapping, Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.contamination.texts import MATCHED, Item, ItemMatch, Matched, RowBlock
from pipeline.ranking.greedy_diverse import cosine_between, margin_of
from scorers.arrays import Floats, Ints
from storage.conversations import TextField, compared_text

EXCERPT = 160  # characters of both texts that the evidence shows

MATCHED_BY: Mapping[TextField, Matched] = {
    "prompt": "prompt",
    "response": "answer",
    "both": "overlap",
}


def item_text(item: Item, of: TextField) -> str:
    """The text of an item that is embedded; "" where it has none."""
    return compared_text(of, item.prompt, item.answer or None)


class SemanticMatcher:
    """The items' embeddings, and the search among them."""

    def __init__(
        self, items: Sequence[Item], vectors: Floats, of: TextField, threshold: float
    ) -> None:
        """Index embeddings.

        Args:
            items: m items.
            vectors: (m, d) of length 1; NaN for an item that has none.
            of: the text that was embedded, of items and rows.
            threshold: Cosine similarity, above 0 and at most 1.

        Raises:
            ValueError: if the lengths differ or the threshold is out of range.
        """
        if len(items) != len(vectors) or not 0 < threshold <= 1:
            raise ValueError(
                f"expected a vector for each of {len(items)} items and a threshold above 0 and at "
                f"most 1, got {len(vectors)} and {threshold}"
            )
        self._items, self._of, self._threshold = items, of, threshold
        self._vectors = vectors.astype(np.float64)
        self._embedded = np.flatnonzero(~np.isnan(self._vectors).any(axis=1))
        self._index = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(self._vectors[self._embedded].astype(np.float32))
        self._margin = margin_of(vectors.shape[1])

    @property
    def rule(self) -> str:
        """See Matcher.rule."""
        return f"semantic, {self._of} at {self._threshold:g}"

    @property
    def checked(self) -> Mapping[Matched, NDArray[np.bool_]]:
        """See Matcher.checked."""
        checked = {part: np.zeros(len(self._items), dtype=bool) for part in MATCHED}
        checked[MATCHED_BY[self._of]][self._embedded] = True
        return checked

    def find(self, block: RowBlock) -> list[ItemMatch]:
        """See Matcher.find.

        Raises:
            ValueError: if the block has no vectors.
        """
        if block.vectors is None:
            raise ValueError("rows are compared by embeddings, but the block has none")
        rows = np.flatnonzero(np.isfinite(block.vectors).all(axis=1))
        if not len(rows) or block.vectors.shape[1] == 0:  # not one row was embedded
            return []
        queries = block.vectors[rows].astype(np.float32)
        limits, _, found = self._index.range_search(queries, self._threshold - self._margin)
        bounds: Ints = limits.astype(np.int64)  # query i has the answers bounds[i] to bounds[i + 1]
        at = np.repeat(rows, np.diff(bounds))
        items = self._embedded[found]  # from places in the index to places among all items
        similarity = cosine_between(block.vectors, at, self._vectors, items)
        order = np.lexsort((items, at))
        order = order[similarity[order] >= self._threshold]
        return [
            self._match(block, int(at[pair]), int(items[pair]), float(similarity[pair]))
            for pair in order
        ]

    def _match(self, block: RowBlock, row: int, item: int, similarity: float) -> ItemMatch:
        roles = {"prompt": ("user",), "response": ("assistant",), "both": ("user", "assistant")}
        texts = [turn.text for turn in block.rows[row] if turn.role in roles[self._of]]
        evidence = {
            "item_text": item_text(self._items[item], self._of)[:EXCERPT],
            "row_text": "\n\n".join(texts)[:EXCERPT],
        }
        return ItemMatch(row, item, MATCHED_BY[self._of], self.rule, similarity, evidence)
