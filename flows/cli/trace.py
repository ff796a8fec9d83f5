"""`sluice trace`: from what a model wrote back to the rows that have its longest spans."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import HERE, AsJson, RunOption, WorkspaceOption
from flows.cli.output import as_lines, print_answer
from flows.progress import say

if TYPE_CHECKING:
    from pipeline.tracing.report import TraceReport

SHOWN = 160  # characters of a span that are shown; --json has all of it
PLACES = 3  # places of a span that are shown; --json has more
NOTE = "The same words are evidence that a row has the text, not that the model learnt it there."


def trace(
    completion: Annotated[
        str | None, typer.Argument(help="What a model wrote; read from stdin if not given.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A file that holds what the model wrote.")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="What the model was asked; spans copied from it are left out.")
    ] = "",
    workspace: WorkspaceOption = HERE,
    run: RunOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Search every example, not only what the run chose.")
    ] = False,
    min_words: Annotated[int, typer.Option(min=1, help="Words in a span, at least.")] = 6,
    spans: Annotated[
        int | None,
        typer.Option(
            min=1, help="Spans to report, the rarest; a twentieth of the words if not given."
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows to rank.")] = 10,
    neighbours: Annotated[
        int,
        typer.Option(min=0, help="Also so many rows whose stored embeddings are nearest."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Find the training rows that have, word for word, the longest passages a model wrote.

    A passage that stands in a row is no proof that the model learnt it there.
    """
    from pipeline.tracing.trace import Question, trace_completion
    from storage.workspace import Workspace

    text = read_completion(completion, file)
    question = Question(text, prompt, min_words, spans, rows, neighbours)
    found = trace_completion(Workspace(workspace), question, run, everything, say)
    print_answer({**asdict(found), "note": NOTE}, as_lines(trace_lines(found)), as_json)


def read_completion(given: str | None, file: Path | None) -> str:
    """The text to trace.

    Raises:
        typer.BadParameter: if it is given twice, is empty, or its file cannot be read.
    """
    if given is not None and file is not None:
        raise typer.BadParameter("give the completion or --file, not both")
    try:
        text = given if given is not None else file.read_text("utf-8") if file else sys.stdin.read()
    except FileNotFoundError:
        raise typer.BadParameter(f"there is no file {file}") from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file or 'stdin'} is no file of UTF-8 text: {error}") from error
    if not text.strip():
        raise typer.BadParameter("the completion is empty")
    return text


def trace_lines(report: "TraceReport") -> Iterator[str]:
    """What was found, for a person."""
    where = f"the choice of run {report.run_id}" if report.run_id else "the whole workspace"
    yield f"{report.words} words, traced in the {report.corpus_rows} rows of {where}"
    yield (
        f"spans that stand in them: {report.found}, {len(report.spans)} shown: "
        f"{report.coverage:.0%} of the words"
    )
    if not report.found:
        wider = ", and --all searches every example" if report.run_id else ""
        yield f"a smaller --min-words finds shorter spans{wider}"
    for number, span in enumerate(report.spans, start=1):
        text = " ".join(span.text.split())
        yield f"\n{number}. {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}"
        phrase = ", a common phrase" if span.common else ""
        indices = f"{with_noun(span.count, 'place')} in {with_noun(span.rows, 'row')}"
        yield f"   {span.words} words, {indices}{phrase}"
        for place in span.places[:PLACES]:
            at = f"{place.part} {place.start} to {place.end}"  # in characters of that part
            origin = origin_text(report, place.example_id)
            yield f"   {place.example_id[:8]}  {at:<24}  {origin}"
        if len(span.places) > PLACES:
            yield f"   and {len(span.places) - PLACES} more"
    yield from row_lines(report)
    yield from neighbour_lines(report)
    if report.spans:
        yield f"\n{NOTE}"


def with_noun(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def row_lines(report: "TraceReport") -> Iterator[str]:
    """The rows in order, with what they cover."""
    if not report.rows:
        return
    first = f", the first {len(report.rows)}" if report.rows_hit > len(report.rows) else ""
    yield f"\nrows that share a span: {report.rows_hit}{first}"
    yield f"   {'row':<8} {'score':>7} {'BM25':>7} {'prompt':>7} {'response':>9}  spans"
    for row in report.rows:
        spans = ", ".join(map(str, row.spans))
        yield (
            f"   {row.example_id[:8]} {row.score:7.1f} {row.bm25:7.1f} "
            f"{row.coverage_prompt:7.0%} {row.coverage_response:9.0%}  {spans}  "
            f"{origin_text(report, row.example_id)}"
        )


def neighbour_lines(report: "TraceReport") -> Iterator[str]:
    """Rows of similar embeddings."""
    if (near := report.neighbours) is None:  # not asked for
        return
    yield f"\nnearest by the embedding of {near.text} ({near.model}); approximate"
    for each in near.rows:
        origin = origin_text(report, each.example_id)
        yield f"   {each.example_id[:8]} {each.similarity:7.3f}  {origin}"


def origin_text(report: "TraceReport", example_id: str) -> str:
    """The source and line of an example, or the model that made it."""
    origin = report.origins[example_id]
    if origin.path is None:
        return f"generated by {origin.model}"
    copies = f", and {origin.copies - 1} more" if origin.copies > 1 else ""  # than the one named
    return f"{origin.path}, row {origin.position}{copies}"
