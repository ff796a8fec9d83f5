"""What if: the rows that other settings would bring in and take out, and the recipe's line."""

from typing import Annotated

import orjson
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from pipeline.reporting.report import losses
from pipeline.viewing.asked import LONGEST, AskedRun
from storage.run_rows import RowLine, with_heads

MOST_SHOWN = 30
"""Rows that come, and rows that go, that a page lists."""

DROP_BAD = {"method": "not_marked_bad"}
"""The step that drops rows that a person marked bad."""

router = APIRouter()

Given = Annotated[list[str], Query(alias="set", max_length=8)]


@router.get("/what-if")
def show_what_if(asked: AskedRun, given: Given = [], row: str = "") -> HTMLResponse:  # noqa: B006
    """What a run would have chosen with other settings."""
    settings = [*given, *own_step(asked)]
    if asked.viewer.what_if is None:
        raise HTTPException(
            404, "to try settings, start it with the recipe: sluice view RECIPE; then come back"
        )
    if not settings:
        raise HTTPException(400, "no setting is given: set=select.steps.0.at_most=1, or a bound")
    if any(len(each) > LONGEST for each in given):
        raise HTTPException(400, "a setting is too long")
    try:
        with asked.viewer.lock:
            tried = asked.viewer.what_if(asked.opened.listed.run_id, settings)
    except ValueError as error:  # of a recipe that is none, or of what only a run can answer
        if getattr(error, "exit_code", None) is None:
            raise
        raise HTTPException(400, str(error)) from None
    moved = {
        kind: [each for each in tried.changes.choice if each.change == kind]
        for kind in ("added", "removed")
    }
    first = {kind: [e.example_id for e in rows[:MOST_SHOWN]] for kind, rows in moved.items()}
    lines = asked.opened.rows.find([*first["added"], *first["removed"], row])
    with asked.viewer.reading_tables() as con:
        heads: dict[str, RowLine] = {
            line.example_id: line for line in with_heads(con, list(lines.values()))
        }
    came = {each.example_id for each in moved["added"]}
    gone = {each.example_id for each in moved["removed"]}
    was_in = {each for each, line in lines.items() if line.status == "chosen"}
    return asked.page(
        "what_if.html",
        {
            "tried": tried,
            "settings": settings,
            "line": asked.request.query_params.get("line", "")[:LONGEST],
            "moved": moved,
            "shown": {k: [(e, heads[e.example_id]) for e in moved[k][:MOST_SHOWN]] for k in moved},
            "steps": [(count, losses(count)) for count in tried.steps],
            "row": heads.get(row),
            "row_is_in": row in came or (row in was_in and row not in gone),
        },
    )


def own_step(asked: AskedRun) -> list[str]:
    """The setting that puts a step before all others, where an address asks for one.

    It is one of bounds, or the one that drops what was marked bad.
    """
    values = asked.request.query_params
    steps = asked.opened.described.recipe.get("select", {}).get("steps", [])
    label = values.get("bound", "")
    if values.get("drop") == "bad":
        return [f"select.steps={orjson.dumps([DROP_BAD, *steps]).decode()}"]
    if not label:
        return []
    try:
        ends = {name: float(values[name]) for name in ("at_least", "at_most") if name in values}
    except ValueError as error:
        raise HTTPException(400, f"expected a number: {error}") from None
    first = {"method": "threshold", "score": label[:LONGEST], **ends}
    return [f"select.steps={orjson.dumps([first, *steps]).decode()}"]
