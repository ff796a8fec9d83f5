"""The table of rows, and one row."""

from collections.abc import Sequence

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from pipeline.viewing.asked import AskedRun, address_of, row_filter, row_order
from pipeline.viewing.pages.row_map import rows_in_area
from pipeline.viewing.row_page import read_row_page
from pipeline.viewing.token_losses import read_token_losses
from storage.documents import ContextPart, read_context, read_passage_places
from storage.run_rows import RowFilter, with_heads
from storage.selections import CONTROLS

PAGE_ROWS = 50

FEW_COLUMNS = 5
"""Scores that the table has columns for, where none is sorted or bounded by."""

router = APIRouter()


@router.get("/rows")
def show_rows(asked: AskedRun, page: int = 1) -> HTMLResponse:
    """Some rows of a run as a table."""
    if not 1 <= page <= 10**6:
        raise HTTPException(400, "no such page")
    wanted, order, rows = row_filter(asked), row_order(asked), asked.opened.rows
    having = having_what(asked, wanted)
    found = rows.count(wanted, having)
    lines = rows.page(wanted, order, ((page - 1) * PAGE_ROWS, PAGE_ROWS), having)
    with asked.viewer.reading_tables() as con:
        lines = with_heads(con, lines)
    first = [order.score, *(bound.score for bound in wanted.bounds)]
    shown = list(dict.fromkeys([*filter(None, first), *rows.labels]))[:FEW_COLUMNS]
    sort = asked.request.query_params.get("sort", "")

    def link(more: dict[str, object]) -> str:
        return address_of("/rows", wanted, {"run": asked.run, "sort": sort} | more)

    return asked.page(
        "rows.html",
        {
            "lines": lines,
            "found": found,
            "page": page,
            "pages": max(1, -(-found // PAGE_ROWS)),  # -(-a // b) rounds up
            "wanted": wanted,
            "order": order,
            "sort": sort,
            "shown": shown,
            "facets": rows.facets(),
            "controls": CONTROLS,
            "link": link,
        },
    )


def having_what(asked: AskedRun, wanted: RowFilter) -> list[str] | None:
    """Ids of the rows with the text and in the area of a map that are asked for; None for all."""
    found = [asked.viewer.having_text(asked.opened, wanted), rows_in_area(asked, wanted.area)]
    asked_for = [set(each) for each in found if each is not None]
    return sorted(set.intersection(*asked_for)) if asked_for else None


@router.get("/rows/{example_id}")
def show_row(
    asked: AskedRun, example_id: str, tokens: bool = False, near: bool = False
) -> HTMLResponse:
    """One row of a run."""
    with asked.viewer.reading() as con:
        row = read_row_page(con, asked.opened, example_id, near)
        if row is None:
            raise HTTPException(404, "the run has no such row")
        losses = read_token_losses(con, asked.opened, example_id) if tokens else None
    measured = "losses" in asked.opened.measures
    values = {"row": row, "losses": losses, "measured": measured, "tokens": tokens}
    return asked.page("row.html", values)


@router.get("/passages/{passage_id}")
def show_passage(asked: AskedRun, passage_id: str) -> HTMLResponse:
    """A passage that rows were made of, on its page of its document."""
    run_id = asked.opened.listed.run_id
    with asked.viewer.reading_tables() as con:
        places = read_passage_places(con, passage_id, run_id)
        contexts = [read_context(con, passage_id, run_id, place["path"]) for place in places]
    if not places:
        raise HTTPException(404, "the run has no such passage")
    found = [(p, without_overlap(c)) for p, c in zip(places, contexts, strict=True)]
    return asked.page("passage.html", {"passage_id": passage_id, "found": found})


def without_overlap(parts: Sequence[ContextPart]) -> list[ContextPart]:
    """The same passages, each without what the one before it has already."""
    (own,) = [part for part in parts if part.own]  # which is shown whole
    kept, end = [], 0  # end: of what is shown so far, in characters of the document
    for part in parts:
        first, last = max(part.start_at, end), part.end_at
        if part.position < own.position:
            last = min(last, own.start_at)
        elif part.own:
            first = part.start_at
        text = part.text[first - part.start_at : max(0, last - part.start_at)]
        if text.strip():
            kept.append(part._replace(text=text))
        end = max(end, last)
    return kept
