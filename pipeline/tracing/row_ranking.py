"""Rows in the order of what they share with a completion; spans.py says what that order is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.text.suffix_array import PARTS, SEPARATOR, SuffixIndex, Tokens
from pipeline.tracing.found import FoundSpan, TokenRun
from scorers.arrays import Floats, Ints

BM25_K1, BM25_B = 1.2, 0.75  # how soon a word's repeats stop counting; how much length counts


@dataclass(frozen=True, slots=True)
class RankedRow:
    """A row that shares spans with the completion."""

    row: int
    score: float
    bm25: float
    spans: tuple[int, ...]  # numbers of the spans it has, from 0
    coverage: tuple[float, float]  # share of the completion's words in its prompt, and its response


def rows_of(spans: Sequence[FoundSpan]) -> Ints:
    """The rows that have a span, in their order."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *(span.rows for span in spans)]))


def rank_rows(
    index: SuffixIndex,
    spans: Sequence[FoundSpan],
    words: NDArray[np.bool_],
    question: Tokens,
    most: int,
) -> tuple[RankedRow, ...]:
    """The rows that have a span, the best first.

    Args:
        index: of the rows.
        spans: that are reported.
        words: (t,) which tokens of the completion are words.
        question: tokens of prompt and completion.
        most: how many rows.
    """
    rows = rows_of(spans)
    scores = np.zeros(len(rows))
    for span in spans:
        scores[np.searchsorted(rows, span.rows)] += span.idf * span.match.words
    if len(rows) > most:  # what cannot be among the first is not looked at
        # The `most`-th score from above; rows as high are all kept, for BM25 to decide.
        enough = scores >= np.partition(scores, len(scores) - most)[len(scores) - most]
        rows, scores = rows[enough], scores[enough]
    likeness = bm25(index, question, rows)
    order = np.lexsort((rows, -likeness, -scores))[:most]
    return tuple(
        RankedRow(
            row=int(rows[place]),
            score=float(scores[place]),
            bm25=float(likeness[place]),
            spans=tuple(n for n, span in enumerate(spans) if rows[place] in span.rows),
            coverage=cover_row(spans, int(rows[place]), words),
        )
        for place in order
    )


def cover_row(
    spans: Sequence[FoundSpan], row: int, words: NDArray[np.bool_]
) -> tuple[float, float]:
    """Share of the completion's words in spans of the row's prompt, and of its response."""
    prompt, response = (
        share_within(words, [span.match for span in spans if row * len(PARTS) + part in span.parts])
        for part in range(len(PARTS))
    )
    return prompt, response


def share_within(words: NDArray[np.bool_], matches: Sequence[TokenRun]) -> float:
    """Share of the words that lie in one of the matches; 0 where there is no word."""
    inside = np.zeros(len(words), dtype=bool)
    for match in matches:
        inside[match.first : match.end] = True
    return float((inside & words).sum() / max(words.sum(), 1))


def bm25(index: SuffixIndex, question: Tokens, rows: Ints) -> Floats:
    """(k,) BM25 of the distinct words of a question in each of the rows."""
    asked = np.unique(question.astype(np.int64))
    asked = asked[asked > SEPARATOR]  # (a,) words that some row has
    n, within = index.rows, index.rows_with[asked]
    weights = np.log1p((n - within + 0.5) / (within + 0.5))  # idf; with 1 + it is never below 0
    values = np.zeros(len(rows))
    for place, row in enumerate(rows.tolist()):
        tokens = index.row_tokens(row).astype(np.int64)
        among = np.searchsorted(asked, tokens[np.isin(tokens, asked)])
        counts = np.bincount(among, minlength=len(asked))
        length = (len(tokens) - len(PARTS)) * n / max(index.words, 1)  # 1: as long as the mean row
        bound = counts + BM25_K1 * (1 - BM25_B + BM25_B * length)
        values[place] = (weights * counts * (BM25_K1 + 1) / bound).sum()
    return values
