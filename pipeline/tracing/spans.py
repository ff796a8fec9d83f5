"""The spans that a completion shares with rows, word for word, and the rows that share them.

From each word of the completion the longest run is taken that stands in a row and does not leave
its sentence; what lies within another run goes. So do runs of fewer than `min_words` words, and
those that the prompt has as well, for copying what was asked is no memory. Of the rest the rarest
stay, the ceil(0.05 |completion|) with the lowest

    log P(span) = sum over its words and signs of log(count(w) / |rows|)

where counts are over all rows (the rule of OLMoTrace). It is a measure of rarity and grows with
length; it is no probability that the row was learnt. A span that stands more than 50 times is a
common phrase, and ten of its rows are named.

    R(row) = sum over spans in the row of idf(span) |span|,    idf = log(rows / rows with the span)

|span| and |completion| count words. Rows are ranked by R, higher first, then by BM25 of prompt and
completion, then by example_id. Coverage is the share of the completion's words that lie in spans of
the row, apart for its prompt and its response; a loss is taken on the response only.

Use it to see whether training data has a passage that a model wrote, and in which row. It is not
evidence of cause: a passage that stands in a row may have been learnt elsewhere, and what a row
taught need not come back word for word.

A trace of 300 words among ten million takes some tens of milliseconds.

Liu et al. 2025, OLMoTrace, arXiv:2504.07096; BM25: Robertson and Zaragoza 2009,
doi:10.1561/1500000019.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pipeline.text.suffix_array import PARTS, SuffixIndex, Tokens
from pipeline.text.tokens import Token, sentence_ends, split_tokens
from pipeline.tracing.found import FoundSpan, TokenRun
from pipeline.tracing.row_ranking import RankedRow, rank_rows, rows_of, share_within

MIN_WORDS = 6
SHARE_KEPT = 0.05


@dataclass(frozen=True, slots=True)
class Traced:
    """What a completion shares with the rows."""

    words: int  # of the completion
    found: int  # spans that were long enough and not of the prompt; the rarest are reported
    spans: tuple[FoundSpan, ...]  # in the order of the completion
    coverage: float  # share of the completion's words that lie in a reported span
    rows: tuple[RankedRow, ...]  # the first by rank
    rows_hit: int  # how many rows there were


def trace_text(
    index: SuffixIndex,
    completion: str,
    prompt: str = "",
    min_words: int = MIN_WORDS,
    limits: tuple[int | None, int] = (None, 10),
) -> Traced:
    """Find what a completion shares with the rows, and rank them.

    Args:
        index: of the rows.
        completion: what a model wrote.
        prompt: what it was asked; spans of it are left out.
        min_words: words in a span, at least.
        limits: how many spans to report, None for ceil(0.05 |completion|), and how many rows.

    Raises:
        ValueError: if `min_words` or a limit is below 1.
    """
    most_spans, most_rows = limits
    if min(min_words, most_rows, 1 if most_spans is None else most_spans) < 1:
        raise ValueError(
            "min_words and the numbers of spans and rows must be 1 or more, "
            f"got {min_words}, {most_spans} and {most_rows}"
        )
    tokens = split_tokens(completion)
    words = np.array([token.is_word for token in tokens], dtype=bool)
    query = index.encode([token.form for token in tokens])
    asked = split_tokens(prompt)
    asked_text = spell(asked)
    matches = [
        match
        for match in find_matches(index, query, words, list(sentence_ends(completion, tokens)))
        if match.words >= min_words and spell(tokens[match.first : match.end]) not in asked_text
    ]
    kept = rarest(index, query, matches, most_spans or max(1, ceil(SHARE_KEPT * words.sum())))
    spans = tuple(locate(index, query, tokens, match) for match in kept)
    question = np.concatenate((index.encode([token.form for token in asked]), query))
    return Traced(
        words=int(words.sum()),
        found=len(matches),
        spans=spans,
        coverage=share_within(words, [span.match for span in spans]),
        rows=rank_rows(index, spans, words, question, most_rows),
        rows_hit=len(rows_of(spans)),
    )


def find_matches(
    index: SuffixIndex, query: Tokens, words: NDArray[np.bool_], ends: Sequence[int]
) -> list[TokenRun]:
    """The longest run from each word that no earlier one contains, in order.

    Args:
        index: of the rows.
        query: (t,) tokens of the completion.
        words: (t,) whether each is a word; a run begins with one.
        ends: (t,) where the sentence of each ends.
    """
    matches: list[TokenRun] = []
    reached = 0
    for first in np.flatnonzero(words).tolist():
        end = first + index.longest(query[first : ends[first]])
        if end > reached:  # a run that ends no later lies within the one before
            reached = end
            interval = index.find(query[first:end])
            matches.append(TokenRun(first, end, int(words[first:end].sum()), interval))
    return matches


def spell(tokens: Sequence[Token]) -> str:
    """Tokens as one text in which a run of them is a substring; none has a space in it."""
    return f" {' '.join(token.form for token in tokens)} "


def rarest(
    index: SuffixIndex, query: Tokens, matches: Sequence[TokenRun], most: int
) -> list[TokenRun]:
    """The matches of the lowest probability, in the order of the completion; the first in a tie."""
    chances = [log_probability(index, query[match.first : match.end]) for match in matches]
    order = sorted(range(len(matches)), key=lambda number: (chances[number], number))
    return [matches[number] for number in sorted(order[:most])]  # back in the completion's order


def log_probability(index: SuffixIndex, span: Tokens) -> float:
    """Of a span whose words are drawn one by one, in nats."""
    shares = index.counts[span.astype(np.int64)] / index.words
    return float(np.log(shares).sum())


def locate(
    index: SuffixIndex, query: Tokens, tokens: Sequence[Token], match: TokenRun
) -> FoundSpan:
    """Find the rows that a match stands in."""
    positions = np.sort(index.order[slice(*match.interval)].astype(np.int64))
    # Positions ascend, so the first of each part is where the span first stands in it.
    parts, firsts = np.unique(index.parts_at(positions), return_index=True)
    rows = np.unique(parts // len(PARTS))
    return FoundSpan(
        match=match,
        start=tokens[match.first].start,
        end=tokens[match.end - 1].end,
        log_probability=log_probability(index, query[match.first : match.end]),
        parts=parts,
        rows=rows,
        idf=float(np.log(index.rows / len(rows))),
        positions=positions[firsts],
    )
