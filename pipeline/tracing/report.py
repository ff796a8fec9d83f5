"""What a trace found, in terms of examples and sources; each span is read again in its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.text.suffix_array import PARTS, SuffixIndex
from pipeline.text.tokens import split_tokens
from pipeline.tracing.found import FoundSpan
from pipeline.tracing.neighbours import Neighbours
from pipeline.tracing.row_ranking import RankedRow
from pipeline.tracing.spans import Traced
from storage.database import Connection
from storage.examples import (
    Example,
    count_copies,
    read_examples,
    read_first_sources,
    read_makers,
)


class IndexDamagedError(RuntimeError):
    """An index names a place where its rows have another text."""

    exit_code: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Corpus:
    """The rows that are searched."""

    run_id: str | None  # whose choice it is; None for the whole workspace
    ids: Sequence[str]  # (n,) example ids, sorted
    source_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span stands."""

    example_id: str
    part: str  # prompt or response
    start: int  # in the text of that part, in characters
    end: int


@dataclass(frozen=True, slots=True)
class SpanReport:
    """A span of the completion that stands in rows."""

    text: str
    start: int  # in the completion, in characters
    end: int
    words: int
    count: int  # how often it stands in the rows
    rows: int  # in how many rows it does
    common: bool  # a common phrase, of which only ten rows are named
    log_probability: float
    idf: float
    places: tuple[Place, ...]  # the first in each part of each row that is named


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an example is from."""

    path: str | None  # the source it was first read from; None for one that was generated
    position: int | None  # the line or row there, from 1
    copies: int  # rows of the sources that are this example
    model: str | None  # the model that generated it


@dataclass(frozen=True, slots=True)
class RowReport:
    """A row that shares spans with the completion."""

    example_id: str
    score: float
    bm25: float
    spans: tuple[int, ...]  # numbers of its spans, from 1
    coverage_prompt: float  # share of the completion's words in spans of its prompt
    coverage_response: float  # and of its response


@dataclass(frozen=True, slots=True)
class TraceReport:
    """All that a trace found."""

    run_id: str | None
    corpus_rows: int
    words: int  # of the completion
    found: int  # spans that were long enough and not of the prompt; the rarest are reported
    coverage: float  # share of the completion's words that lie in a reported span
    spans: tuple[SpanReport, ...]
    rows: tuple[RowReport, ...]
    rows_hit: int
    origins: dict[str, Origin]  # of every example that is named
    neighbours: Neighbours | None


def report_trace(
    con: Connection,
    corpus: Corpus,
    index: SuffixIndex,
    asked: tuple[str, Traced],
    near: Neighbours | None,
) -> TraceReport:
    """Put example ids and sources to what was found.

    Args:
        con: the workspace.
        corpus: the rows that were searched.
        index: of them.
        asked: the completion, and what was found.
        near: rows of similar embeddings, where they were asked for.

    Raises:
        IndexDamagedError: if the index names a place where its row has another text.
    """
    completion, traced = asked
    rows = tuple(report_row(corpus, row) for row in traced.rows)
    named = {int(part) // len(PARTS) for span in traced.spans for part in span.named()[0]}
    examples = {
        example.example_id: example
        for example in read_examples(con, [corpus.ids[row] for row in sorted(named)])
    }
    spans = tuple(report_span(corpus, index, examples, completion, span) for span in traced.spans)
    shown = {*examples, *(row.example_id for row in rows)}
    shown |= {each.example_id for each in near.rows} if near else set()
    return TraceReport(
        run_id=corpus.run_id,
        corpus_rows=index.rows,
        words=traced.words,
        found=traced.found,
        coverage=traced.coverage,
        spans=spans,
        rows=rows,
        rows_hit=traced.rows_hit,
        origins=read_row_origins(con, sorted(shown), corpus.source_ids),
        neighbours=near,
    )


def report_row(corpus: Corpus, row: RankedRow) -> RowReport:
    """Put its id to a row."""
    return RowReport(
        example_id=corpus.ids[row.row],
        score=row.score,
        bm25=row.bm25,
        spans=tuple(number + 1 for number in row.spans),
        coverage_prompt=row.coverage[0],
        coverage_response=row.coverage[1],
    )


def report_span(
    corpus: Corpus,
    index: SuffixIndex,
    examples: dict[str, Example],
    completion: str,
    span: FoundSpan,
) -> SpanReport:
    """Name the places of a span, each read again."""
    text = completion[span.start : span.end]
    parts, positions = span.named()
    places = []
    for part, position in zip(parts.tolist(), positions.tolist(), strict=True):
        example = examples[corpus.ids[part // len(PARTS)]]
        first = position - int(index.starts[part])  # number of its first token in the part
        places.append(find_span(example, PARTS[part % len(PARTS)], first, text))
    return SpanReport(
        text=text,
        start=span.start,
        end=span.end,
        words=span.match.words,
        count=span.match.count,
        rows=len(span.rows),
        common=span.match.common,
        log_probability=span.log_probability,
        idf=span.idf,
        places=tuple(places),
    )


def find_span(example: Example, part: str, first: int, text: str) -> Place:
    """Where a span stands in the prompt or response of a row; it begins with the token `first`.

    Raises:
        IndexDamagedError: if something else stands there.
    """
    wanted = [token.form for token in split_tokens(text)]
    there = example.prompt if part == "prompt" else example.response
    tokens = split_tokens(there)[first : first + len(wanted)]
    if [token.form for token in tokens] != wanted:
        raise IndexDamagedError(
            f"the index has a span in the {part} of {example.example_id} that does not stand "
            "there: delete the folder indexes/ of the workspace, and it is built anew"
        )
    return Place(example.example_id, part, tokens[0].start, tokens[-1].end)


def read_row_origins(
    con: Connection, ids: Sequence[str], source_ids: Sequence[str]
) -> dict[str, Origin]:
    """Where examples are from."""
    sources = read_first_sources(con, ids, source_ids)
    copies, makers = count_copies(con, ids, source_ids), read_makers(con, ids)
    return {
        example_id: Origin(
            path=sources[example_id].path if example_id in sources else None,
            position=sources[example_id].position if example_id in sources else None,
            copies=copies.get(example_id, 0),
            model=makers.get(example_id),
        )
        for example_id in ids
    }
