"""The queue of rows that a person reads to screen a selection, and the verdicts that come back.

A line for each row: its id, the conversation, what was measured of it, and an empty `verdict` to be
filled in with `ok` or `bad`. Which rows were drawn at random is kept in the workspace, so that a
file that comes back cannot change what the estimate rests on.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from pipeline.advice.screen import (
    SIGNALS,
    Estimate,
    SignalKind,
    draw_for_review,
    estimate_source,
    rank_suspects,
    rows_to_review,
)
from pipeline.ingest.readers import UnreadableSourceError
from pipeline.scoring.stage import ScoreSettings, score_key
from scorers.arrays import Floats
from storage.database import Connection, QueryError
from storage.error_notes import whole_file
from storage.examples import read_examples, read_first_sources
from storage.retention import read_run_keys
from storage.reviews import (
    Review,
    add_reviews,
    read_reviews,
    read_run_recipe,
    read_unlisted,
    write_verdicts,
)
from storage.runs import read_run_sources
from storage.scores import read_scores
from storage.selections import read_run_selections, read_selection

VERDICTS = ("ok", "bad")


@dataclass(frozen=True, slots=True)
class Screened:
    """A selection that is being screened."""

    run_id: str
    selection_id: str
    sources: Mapping[str, str]
    """example_id → path of its source; "generated" where it has none."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be shown."""

    at_most: float
    confidence: float
    suspects: int


class JudgedRows(NamedTuple):
    """Verdicts of a person."""

    verdicts: Mapping[str, tuple[str, str]]
    """Example id → "ok" or "bad", and a note."""
    reviewer: str
    """Who found it; "" where nobody says."""


def find_screened(con: Connection, run_id: str) -> Screened:
    """The choice of a run, with the sources of its rows.

    Raises:
        QueryError: if the run has chosen nothing.
    """
    selections = read_run_selections(con, run_id)
    if "choice" not in selections or not selections["choice"].rows:
        raise QueryError(f"run {run_id} has selected no row: there is nothing to screen")
    selection_id = selections["choice"].selection_id
    ids, _ = read_selection(con, selection_id)
    found = read_first_sources(con, ids, read_run_sources(con, run_id))
    sources = {each: found[each].path if each in found else "generated" for each in ids}
    return Screened(run_id, selection_id, sources)


def list_rows(con: Connection, screened: Screened, demand: Demand) -> list[Review]:
    """Put the rows to be read on the selection's list; return those that nobody has read yet.

    The rows drawn at random come first, by source; then the most suspicious of the others.
    """
    ids = np.array(sorted(screened.sources), dtype=object)
    sources = np.array([screened.sources[each] for each in ids], dtype=object)
    seed = read_run_recipe(con, screened.run_id)[1]
    drawn = draw_for_review(ids, sources, rows_to_review(demand.at_most, demand.confidence), seed)
    suspects, _ = rank_suspects(read_signals(con, screened, ids.tolist()), ids)
    others = suspects[~np.isin(suspects, drawn)][: demand.suspects]  # a random row stays random
    wanted = [
        Review(str(ids[row]), str(sources[row]), kind, None)
        for kind, rows in (("random", drawn), ("suspect", others))
        for row in rows
    ]
    add_reviews(con, screened.selection_id, wanted)
    listed = {each.example_id: each for each in read_reviews(con, screened.selection_id)}
    # As listed, not as wanted: what was judged in another selection has its verdict already.
    return [listed[e.example_id] for e in wanted if listed[e.example_id].verdict is None]


def read_signals(
    con: Connection, screened: Screened, ids: Sequence[str]
) -> dict[str, tuple[Floats, SignalKind]]:
    """Label → values and what of them is suspicious, of the run's scores that are signals."""
    measures = read_run_keys(con, screened.run_id)
    kinds = find_signals(read_run_recipe(con, screened.run_id)[0])
    return {
        score.label: (read_scores(con, score_key(score, measures), ids)[0], kind)
        for score, kind in kinds
    }


def find_signals(recipe: Mapping[str, Any]) -> list[tuple[ScoreSettings, SignalKind]]:
    """The scores of a stored recipe that are signals, and what of each is suspicious.

    Of marks that is what the recipe says; one from before it could say so has high marks for good.
    """
    blocks = recipe.get("measure", {}).get("ratings") or []
    harmful = {block["name"] for block in blocks if block.get("better") == "low"}
    scores = [ScoreSettings.model_validate(each) for each in recipe.get("scores", [])]
    return [
        (each, "high" if each.scorer == "rating" and each.of in harmful else SIGNALS[each.scorer])
        for each in scores
        if each.scorer in SIGNALS
    ]


def queue_lines(con: Connection, screened: Screened, reviews: Sequence[Review]) -> Iterator[bytes]:
    """The lines of a queue."""
    whole = sorted(screened.sources)  # a reason is a place among all rows, not among those queued
    signals = read_signals(con, screened, whole)
    _, why = rank_suspects(signals, np.array(whole, dtype=object))
    rows = {example_id: row for row, example_id in enumerate(whole)}
    ids = [each.example_id for each in reviews]
    examples = {example.example_id: example for example in read_examples(con, ids)}
    for review in reviews:
        row = rows[review.example_id]
        conversation = examples[review.example_id].conversation
        values = {name: float(each[0][row]) for name, each in signals.items()}
        yield orjson.dumps(
            {
                "example_id": review.example_id,
                "selection_id": screened.selection_id,
                "source": review.source,
                "drawn": review.drawn,
                "because_of": why[row] if review.drawn == "suspect" else "",
                "messages": conversation.messages,
                "tools": conversation.tools,
                "signals": values,  # NaN is written as null
                "verdict": "",
                "note": "",
            }
        )


def write_queue(path: Path, lines: Iterator[bytes]) -> int:
    """Write a queue; return its rows.

    Raises:
        QueryError: if the file is there: it may hold verdicts.
    """
    if path.exists():
        raise QueryError(
            f"{path} is there already and may hold verdicts: read it with --verdicts, move it, or "
            "name another with --queue"
        )
    written = [*lines]
    with whole_file(path) as file:  # a queue that is there is whole
        file.write_bytes(b"".join(line + b"\n" for line in written))
    return len(written)


def read_review(path: Path) -> dict[str, tuple[str, str]]:
    """Example id → verdict and note, of the rows of a file that have a verdict.

    Raises:
        UnreadableSourceError: if a line is no row of a queue; the message names it.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UnreadableSourceError(f"{path}: {error.strerror}") from error
    read = [
        read_verdict(f"{path}, line {number}", line)
        for number, line in enumerate(lines, start=1)
        if line.strip()  # editors leave blank lines at the end
    ]
    return {example_id: (verdict, note) for example_id, verdict, note in read if verdict}


class ReadVerdict(NamedTuple):
    """What a person wrote into one line of a queue."""

    example_id: str
    verdict: str  # "" where there is none yet
    note: str


def read_verdict(where: str, line: bytes) -> ReadVerdict:
    """The verdict of one line."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnreadableSourceError(f"{where}: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("example_id"), str):
        raise UnreadableSourceError(f"{where}: expected a row of a queue, with its example_id")
    verdict = str(row.get("verdict") or "").strip().lower()
    if verdict not in ("", *VERDICTS):
        raise UnreadableSourceError(
            f"{where}: verdict must be {' or '.join(VERDICTS)}, or empty, got {verdict!r}"
        )
    return ReadVerdict(row["example_id"], verdict, str(row.get("note") or ""))


def store_verdicts(con: Connection, found: JudgedRows) -> None:
    """Store verdicts on rows that are on a list.

    Raises:
        QueryError: if one is on none.
    """
    if unknown := read_unlisted(con, list(found.verdicts)):
        raise QueryError(
            f"{len(unknown)} of the rows were never queued here, {unknown[0]} among them: "
            "is it the right workspace?"
        )
    write_verdicts(con, found.verdicts, found.reviewer)


def estimate_sources(con: Connection, screened: Screened, confidence: float) -> list[Estimate]:
    """What the verdicts on the rows drawn at random say of each source, by name."""
    drawn = [e for e in read_reviews(con, screened.selection_id) if e.drawn == "random"]
    listed = Counter(each.source for each in drawn)
    reviewed = Counter(each.source for each in drawn if each.verdict is not None)
    bad = Counter(each.source for each in drawn if each.verdict == "bad")
    rows = Counter(screened.sources.values())
    return [
        estimate_source(name, rows[name], listed[name], (reviewed[name], bad[name]), confidence)
        for name in sorted(rows)
    ]


class SuspectCounts(NamedTuple):
    """Suspicious rows; no estimate rests on them."""

    queued: int
    read: int
    bad: int


def count_found(con: Connection, screened: Screened) -> SuspectCounts:
    """How many suspicious rows were queued, read, and found bad."""
    reviews = read_reviews(con, screened.selection_id)
    verdicts = [each.verdict for each in reviews if each.drawn == "suspect"]
    read = len(verdicts) - verdicts.count(None)
    return SuspectCounts(len(verdicts), read, verdicts.count("bad"))
