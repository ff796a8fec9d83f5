"""Trace: from what a model wrote back to the rows that have its longest spans, word for word.

What is searched is what a run chose, or every example of the workspace. The index of the rows is
kept in the workspace and read again by the next trace of the same rows. Each span that is reported
has been read again in its row. pipeline/substrings/spans.py says which spans those are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.measure import embeddings_name
from pipeline.measuring.embeddings import TextField
from pipeline.substrings.index_files import VERSION, read_index, write_index
from pipeline.substrings.spans import MIN_WORDS, FoundSpan, RankedRow, Traced, trace_text
from pipeline.substrings.suffixes import PARTS, SuffixIndex, build_index
from pipeline.substrings.tokens import split_tokens
from scorers.measures.models import load_embedder, resolve_model
from storage.conversations import content_hash
from storage.database import Connection, QueryError, read_workspace
from storage.examples import (
    Example,
    count_copies,
    read_all_ids,
    read_examples,
    read_first_sources,
    read_makers,
)
from storage.measurements import read_measurements, read_run_key
from storage.runs import find_run, read_run_sources
from storage.selections import read_run_selections, read_selection
from storage.sources import read_source_ids
from storage.workspace import Workspace

BATCH_ROWS = 10_000
"""Rows that are read from the database together."""

COMPARED: tuple[TextField, ...] = ("response", "both", "prompt")
"""Which embeddings of a run neighbours are looked for among: the first of these that it has."""


class IndexDamagedError(RuntimeError):
    """An index names a place where its rows have another text."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is traced, and how much of it is reported."""

    completion: str
    prompt: str = ""
    min_words: int = MIN_WORDS
    spans: int | None = None
    """At most so many; None: a twentieth of the words."""
    rows: int = 10
    neighbours: int = 0
    """Rows whose embeddings are nearest, besides."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """The rows that are searched."""

    run_id: str | None
    """Whose choice it is; None for the whole workspace."""
    ids: Sequence[str]
    """(n,) example ids, sorted."""
    source_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span stands."""

    example_id: str
    part: str
    """Prompt or response."""
    start: int
    end: int
    """In the text of that part, in characters."""


@dataclass(frozen=True, slots=True)
class SpanReport:
    """A span of the completion that stands in rows."""

    text: str
    start: int
    end: int
    """In the completion, in characters."""
    words: int
    count: int
    """How often it stands in the rows."""
    rows: int
    """In how many rows it does."""
    common: bool
    """A common phrase, of which only ten rows are named."""
    log_probability: float
    idf: float
    places: tuple[Place, ...]
    """The first in each part of each row that is named."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an example is from."""

    path: str | None
    """The source it was first read from; None for one that was generated."""
    position: int | None
    """The line or row there, from 1."""
    copies: int
    """Rows of the sources that are this example."""
    model: str | None
    """The model that generated it."""


@dataclass(frozen=True, slots=True)
class RowReport:
    """A row that shares spans with the completion."""

    example_id: str
    score: float
    bm25: float
    spans: tuple[int, ...]
    """Numbers of its spans, from 1."""
    coverage_prompt: float
    coverage_response: float
    """Share of the completion's words in spans of its prompt, and of its response."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row whose embedding is near that of the completion."""

    example_id: str
    similarity: float
    """Cosine."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The approximate part of a trace: what reads alike, word for word or not."""

    text: TextField
    """Which text of the rows is compared."""
    model: str
    rows: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class TraceReport:
    """All that a trace found."""

    run_id: str | None
    corpus_rows: int
    words: int
    """Of the completion."""
    found: int
    """Spans that were long enough and not of the prompt; the rarest are reported."""
    coverage: float
    """Share of the completion's words that lie in a reported span."""
    spans: tuple[SpanReport, ...]
    rows: tuple[RowReport, ...]
    rows_hit: int
    origins: dict[str, Origin]
    """Of every example that is named."""
    neighbours: Neighbours | None


Tell = Callable[[str], None]


def trace_completion(
    workspace: Workspace, question: Question, run_id: str | None, whole: bool, tell: Tell
) -> TraceReport:
    """Trace a completion back to rows.

    Args:
        workspace: that has the rows.
        question: what to trace.
        run_id: whose choice to search; the last run's if None.
        whole: search every example of the workspace instead.
        tell: is told when an index is built, for that takes a while.

    Raises:
        QueryError: if there is nothing to search, or no embeddings to look for neighbours among.
        IndexDamagedError: if the index names a place where its row has another text.
        ValueError: if a number of the question is out of range.
    """
    with read_workspace(workspace) as con:
        corpus = read_corpus(con, run_id, whole)
    index = open_index(workspace, corpus, tell)
    limits = (question.spans, question.rows)
    traced = trace_text(index, question.completion, question.prompt, question.min_words, limits)
    with read_workspace(workspace) as con:
        run = corpus.run_id or find_run(con, run_id)
        near = find_neighbours(con, corpus, run, question) if question.neighbours else None
        return report_trace(con, corpus, index, (question, traced), near)


def read_corpus(con: Connection, run_id: str | None, whole: bool) -> Corpus:
    """The rows that are searched.

    Raises:
        QueryError: if there is no run, or it has chosen nothing.
    """
    if whole:
        return Corpus(None, read_all_ids(con), read_source_ids(con))
    found = find_run(con, run_id)
    choice = read_run_selections(con, found).get("choice")
    if choice is None:
        raise QueryError(
            f"run {found} has chosen nothing yet: name another with --run, or search every example "
            "of the workspace with --all"
        )
    ids, _ = read_selection(con, choice[0])
    return Corpus(found, sorted(ids), read_run_sources(con, found))


def open_index(workspace: Workspace, corpus: Corpus, tell: Tell) -> SuffixIndex:
    """The index of these rows: the stored one, or a new one, which is then stored."""
    digest = content_hash([VERSION, list(corpus.ids)])
    folder = workspace.indexes / digest[:16]
    stored = read_index(folder, digest)
    if stored is not None:
        return stored
    tell(f"indexing {len(corpus.ids)} rows; the next trace of them reads {folder}")
    with read_workspace(workspace) as con:
        write_index(folder, digest, build_index(read_texts(con, corpus.ids)))
    built = read_index(folder, digest)
    if built is None:
        raise IndexDamagedError(f"{folder} was written and cannot be read again: look at the disk")
    return built


def read_texts(con: Connection, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Prompt and response of examples, in the order of their sorted ids."""
    for first in range(0, len(ids), BATCH_ROWS):
        for example in read_examples(con, ids[first : first + BATCH_ROWS]):
            yield example.prompt, example.response


def report_trace(
    con: Connection,
    corpus: Corpus,
    index: SuffixIndex,
    asked: tuple[Question, Traced],
    near: Neighbours | None,
) -> TraceReport:
    """Put example ids and sources to what was found, and read each span again in its rows."""
    question, traced = asked
    rows = tuple(report_row(corpus, row) for row in traced.rows)
    named = {int(part) // len(PARTS) for span in traced.spans for part in span.named()[0]}
    examples = {
        example.example_id: example
        for example in read_examples(con, [corpus.ids[row] for row in sorted(named)])
    }
    spans = tuple(
        report_span(corpus, index, examples, question.completion, span) for span in traced.spans
    )
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
        origins=read_origins(con, sorted(shown), corpus.source_ids),
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
        first = position - int(index.starts[part])
        places.append(find_place(example, PARTS[part % len(PARTS)], first, text))
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


def find_place(example: Example, part: str, first: int, text: str) -> Place:
    """Where a span stands in the text of a row.

    Args:
        example: the row.
        part: prompt or response.
        first: number of the span's first word or sign there.
        text: the span.

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


def read_origins(
    con: Connection, ids: Sequence[str], source_ids: Sequence[str]
) -> dict[str, Origin]:
    """Where examples are from."""
    sources = read_first_sources(con, ids, source_ids)
    copies, makers = count_copies(con, ids, source_ids), read_makers(con, ids)
    return {
        example_id: Origin(
            path=sources[example_id][1] if example_id in sources else None,
            position=sources[example_id][3] if example_id in sources else None,
            copies=copies.get(example_id, 0),
            model=makers.get(example_id),
        )
        for example_id in ids
    }


def find_neighbours(con: Connection, corpus: Corpus, run_id: str, question: Question) -> Neighbours:
    """The rows whose stored embeddings are nearest to the completion's; ties by example_id.

    Raises:
        QueryError: if the run has no embeddings.
    """
    keys = {of: read_run_key(con, run_id, embeddings_name(of)) for of in COMPARED}
    of, key = next(((of, key) for of, key in keys.items() if key is not None), (None, None))
    if of is None or key is None:
        raise QueryError(
            f"run {run_id} measured no embeddings to look for neighbours among: add "
            "{of: response} to measure.embeddings, or leave --neighbours out"
        )
    texts = {"response": question.completion, "prompt": question.prompt or question.completion}
    texts["both"] = f"{question.prompt}\n\n{question.completion}".strip()
    model = resolve_model(key.model)
    if model.fingerprint != key.model_fingerprint:
        raise QueryError(f"{key.model} is another model now than when run {run_id} embedded rows")
    vector = load_embedder(model).embed([texts[of]])[0]
    _, columns = read_measurements(con, key, ("embedding",), corpus.ids)
    embedded = np.flatnonzero(~np.isnan(columns["embedding"]).any(axis=1))
    similarity = columns["embedding"][embedded] @ vector.astype(np.float64)
    first = np.lexsort((embedded, -similarity))[: question.neighbours]
    near = tuple(Neighbour(corpus.ids[embedded[at]], float(similarity[at])) for at in first)
    return Neighbours(of, key.model, near)
