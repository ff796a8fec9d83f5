"""Trace: from what a model wrote back to the rows that have its longest spans, word for word.

What is searched is what a run chose, or every example of the workspace. The index of the rows is
kept in the workspace and read again by the next trace of the same rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.text.suffix_array import SuffixIndex, build_index
from pipeline.tracing.index_files import VERSION, read_index, write_index
from pipeline.tracing.neighbours import find_neighbours
from pipeline.tracing.report import Corpus, IndexDamagedError, TraceReport, report_trace
from pipeline.tracing.spans import MIN_WORDS, trace_text
from storage.conversations import content_hash
from storage.database import Connection, QueryError, read_workspace
from storage.examples import read_all_ids, read_examples
from storage.runs import find_run, read_run_sources
from storage.selections import read_run_selections, read_selection
from storage.sources import read_source_ids
from storage.workspace import Workspace

BATCH_ROWS = 10_000  # rows that are read from the database together

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Question:
    """What is traced, and how much of it is reported."""

    completion: str
    prompt: str = ""
    min_words: int = MIN_WORDS
    spans: int | None = None  # at most so many; None: a twentieth of the words
    rows: int = 10
    neighbours: int = 0  # rows whose embeddings are nearest, besides


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
        near = None
        if question.neighbours:
            texts = question.prompt, question.completion
            near = find_neighbours(con, corpus.ids, run, texts, question.neighbours)
        return report_trace(con, corpus, index, (question.completion, traced), near)


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
    ids, _ = read_selection(con, choice.selection_id)
    return Corpus(found, sorted(ids), read_run_sources(con, found))


def open_index(workspace: Workspace, corpus: Corpus, tell: Tell) -> SuffixIndex:
    """The index of these rows: the stored one, or a new one, which is then stored."""
    digest = content_hash([VERSION, list(corpus.ids)])
    folder = workspace.indexes / digest[:16]  # the whole of it is compared when it is read
    stored = read_index(folder, digest)
    if stored is not None:
        return stored
    tell(f"indexing {len(corpus.ids)} rows; the next trace of them reads {folder}")
    with read_workspace(workspace) as con:
        write_index(folder, digest, build_index(read_traced_texts(con, corpus.ids)))
    built = read_index(folder, digest)  # mapped: what was built is not held in memory twice
    if built is None:
        raise IndexDamagedError(f"{folder} was written and cannot be read again: look at the disk")
    return built


def read_traced_texts(con: Connection, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Prompt and response of examples, in the order of the ids."""
    for first in range(0, len(ids), BATCH_ROWS):
        for example in read_examples(con, ids[first : first + BATCH_ROWS]):
            yield example.prompt, example.response
