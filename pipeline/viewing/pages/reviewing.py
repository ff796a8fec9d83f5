"""Review: rows judged one after another by key presses; the only page that writes."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.advice.review_queue import VERDICTS, estimate_sources, find_screened
from pipeline.viewing.asked import LONGEST, AskedRun
from pipeline.viewing.pages.trying import DROP_BAD
from pipeline.viewing.rendering import query_of
from pipeline.viewing.row_page import read_row_page
from storage.database import Connection, WorkspaceBusyError
from storage.reviews import (
    Review,
    add_reviews,
    read_judged,
    read_marked_bad,
    read_reviews,
    write_verdicts,
)
from storage.run_rows import RowFilter

QUEUE = "queue"
"""What `sluice screen` listed, among the kinds of rows."""

DRAWN = 40
"""Rows of a reason that are read at a sitting."""

CONFIDENCE = 0.95

MOST_BYTES = 10_000
"""Of a form."""

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Sitting:
    """The rows of a kind that are to be read, and how far the reading is."""

    kind: str
    ids: list[str]
    """All of them, in the order in which they are read."""
    open: list[str]
    """Those without a verdict."""


@router.get("/review")
def show_review(asked: AskedRun, kind: str = QUEUE, row: str = "", skip: str = "") -> HTMLResponse:
    """The next row to be judged, or one that is named."""
    opened = asked.opened
    steps = opened.described.recipe.get("select", {}).get("steps", [])
    kinds = [QUEUE, "chosen", *(reason for reason, _ in opened.rows.facets()["reason"])]
    if kind not in kinds:
        raise HTTPException(400, "no such kind of rows")
    with asked.viewer.reading() as con:
        sitting = seat(con, asked, kind)
        later = [each for each in sitting.open if each != skip]
        shown = row or next(iter(later or sitting.open), "")
        page = read_row_page(con, opened, shown) if shown else None
        verdict = read_judged(con, [shown]).get(shown) if shown else None
        bad = list(opened.rows.find(read_marked_bad(con)).values())
        estimates = []
        if "choice" in opened.selections and opened.selections["choice"].rows:
            screened = find_screened(con, opened.listed.run_id)
            estimates = estimate_sources(con, screened, CONFIDENCE)
    values = {
        "kinds": kinds,
        "sitting": sitting,
        "row": page,
        "verdict": verdict,
        "estimates": estimates,
        "confidence": CONFIDENCE,
        "bad": bad,
        "still_in": sum(each.status == "chosen" for each in bad),
        "drops_bad": any(step.get("method") == DROP_BAD["method"] for step in steps),
        "can_try": asked.viewer.what_if is not None,
    }
    return asked.page("review.html", values)


async def read_form(request: Request) -> dict[str, str]:
    """What a form sends, as browsers write it; FastAPI's own way needs another package."""
    body = await request.body()
    if len(body) > MOST_BYTES:
        raise HTTPException(413, "a note has at most a few lines")
    return dict(parse_qsl(body.decode("utf-8", "replace")))


@router.post("/review")
def store_review(asked: AskedRun, given: Annotated[dict[str, str], Depends(read_form)]) -> Response:
    """Store a verdict, and go on to the next row."""
    row, verdict, kind = (given.get(name, "") for name in ("row", "verdict", "kind"))
    note = given.get("note", "")[:LONGEST]
    opened = asked.opened
    if verdict not in VERDICTS or "choice" not in opened.selections:
        raise HTTPException(400, "a verdict is ok or bad, of a run that has chosen")
    line = opened.rows.find([row]).get(row)
    if line is None:
        raise HTTPException(404, "the run has no such row")
    try:
        with asked.viewer.writing() as con:
            selection_id = opened.selections["choice"].selection_id
            # "shown" counts in no estimate; a row that the queue has drawn keeps how it was drawn.
            listed = Review(row, line.source, "shown", None)
            add_reviews(con, selection_id, [listed])
            write_verdicts(con, {row: (verdict, note)}, asked.viewer.reviewer)
    except WorkspaceBusyError as error:  # a run has the workspace from its start to its end
        raise HTTPException(409, f"not stored: {error}") from None
    return RedirectResponse(f"/review?{query_of({'run': asked.run, 'kind': kind})}", 303)


def seat(con: Connection, asked: AskedRun, kind: str) -> Sitting:
    """The rows of a kind that are to be read: those of the queue, or some drawn at random."""
    opened = asked.opened
    if kind == QUEUE:
        selection = opened.selections.get("choice")
        listed = read_reviews(con, selection.selection_id) if selection else []
        drawn = [each for each in listed if each.drawn != "shown"]
        ids = [each.example_id for each in drawn]
    else:
        wanted = RowFilter(status=kind) if kind == "chosen" else RowFilter(reason=kind)
        ids = opened.rows.ids(wanted)
        # By the run's id: whoever reads them another day goes on with the same rows.
        rng = np.random.default_rng(int(opened.listed.run_id.encode().hex(), 16) % 2**63)
        at = rng.permutation(len(ids))[:DRAWN]
        ids = [ids[each] for each in at]
    judged = read_judged(con, ids)
    return Sitting(kind, ids, [each for each in ids if each not in judged])
