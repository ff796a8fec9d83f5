"""Pairs that were found alike, side by side, the most doubtful first."""

from dataclasses import dataclass

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from pipeline.contamination.report import evidence_text
from pipeline.viewing.asked import AskedRun
from pipeline.viewing.word_diff import Stretch, compare_words
from storage.alike_pairs import (
    ItemPair,
    count_item_pairs,
    count_pairs,
    read_item_pairs,
    read_row_pairs,
)
from storage.database import Connection
from storage.examples import read_examples
from storage.run_rows import RowLine, with_heads

PAGE_PAIRS = 10

HITS = "contaminated"
"""What hits in evaluation sets go by, among the reasons."""

router = APIRouter()


@dataclass(frozen=True, slots=True)
class ShownPair:
    """Two rows side by side."""

    lines: tuple[RowLine, RowLine]
    reason: str
    similarity: float | None
    detail: str
    prompts: tuple[list[Stretch], list[Stretch]]
    responses: tuple[list[Stretch], list[Stretch]]


@dataclass(frozen=True, slots=True)
class ShownHit:
    """A row beside what it shares with an item."""

    line: RowLine
    pair: ItemPair
    told: str
    words: str
    """That both have; "" where the rule compares no words."""


@router.get("/pairs")
def show_pairs(asked: AskedRun, reason: str = "", page: int = 1) -> HTMLResponse:
    """Pairs of a run."""
    if not 1 <= page <= 10**6:
        raise HTTPException(400, "no such page")
    run_id, place = asked.opened.listed.run_id, ((page - 1) * PAGE_PAIRS, PAGE_PAIRS)
    with asked.viewer.reading_tables() as con:
        reasons, hits = count_pairs(con, run_id), count_item_pairs(con, run_id)
        reason = reason or next(iter(reasons), HITS)
        shown: list[ShownPair] = []
        found: list[ShownHit] = []
        if reason == HITS:
            found = shown_hits(con, asked, read_item_pairs(con, run_id, place))
        else:
            pairs = read_row_pairs(con, run_id, reason, place)
            lines = asked.opened.rows.find([i for p in pairs for i in (p.example_id, p.because_of)])
            shown = [
                show_pair(con, (lines[p.example_id], lines[p.because_of]), (p.similarity, p.detail))
                for p in pairs
                if p.example_id in lines and p.because_of in lines
            ]
    total = hits if reason == HITS else reasons.get(reason, 0)
    values = {
        "reasons": {**reasons, **({HITS: hits} if hits else {})},
        "reason": reason,
        "pairs": shown,
        "hits": found,
        "page": page,
        "pages": max(1, -(-total // PAGE_PAIRS)),  # -(-a // b) rounds up
    }
    return asked.page("pairs.html", values)


@router.get("/pairs/{one}/{other}")
def show_two(asked: AskedRun, one: str, other: str) -> HTMLResponse:
    """Two rows side by side, whatever they have to do with each other."""
    lines = asked.opened.rows.find([one, other])
    if not {one, other} <= set(lines):
        raise HTTPException(404, "the run has no such rows")
    with asked.viewer.reading_tables() as con:
        pair = show_pair(con, (lines[one], lines[other]), (lines[one].value, ""))
    values = {"reasons": {}, "reason": "", "pairs": [pair], "hits": [], "page": 1, "pages": 1}
    return asked.page("pairs.html", values)


def show_pair(
    con: Connection, lines: tuple[RowLine, RowLine], said: tuple[float | None, str]
) -> ShownPair:
    """Two rows with their texts compared."""
    one, other = read_examples(con, [line.example_id for line in lines])
    return ShownPair(
        lines=lines,
        reason=lines[0].reason or "",
        similarity=said[0],
        detail=said[1],
        prompts=compare_words(one.prompt, other.prompt),
        responses=compare_words(one.response, other.response),
    )


def shown_hits(con: Connection, asked: AskedRun, pairs: list[ItemPair]) -> list[ShownHit]:
    """Hits with the beginnings of their rows."""
    lines = asked.opened.rows.find([pair.example_id for pair in pairs])
    heads = {line.example_id: line for line in with_heads(con, list(lines.values()))}
    return [
        ShownHit(
            heads[pair.example_id],
            pair,
            evidence_text(pair.evidence),
            str(pair.evidence.get("words", "")),
        )
        for pair in pairs
        if pair.example_id in heads
    ]
