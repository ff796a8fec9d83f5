"""The map: rows by their embeddings, those that read alike beside each other."""

from typing import Annotated, get_args

import numpy as np
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse, Response

from pipeline.extras import MissingExtraError
from pipeline.viewing.asked import AskedRun
from pipeline.viewing.map_layout import LayoutMethod
from pipeline.viewing.opened_run import OpenedRun, RunMap
from pipeline.viewing.pages.scores import send_json
from pipeline.viewing.rendering import cut
from pipeline.viewing.row_page import embedded
from pipeline.viewing.stored_map import read_map
from scorers import SCORERS
from storage.run_rows import FACETS, with_heads
from storage.visible import harmless

METHODS: tuple[LayoutMethod, ...] = get_args(LayoutMethod)

MOST_GROUPS = 11
"""That have a colour of their own; what is left is one more."""

NAME_CHARACTERS = 80

TEXT_CHARACTERS = 300

router = APIRouter()

By = Annotated[LayoutMethod, Query()]


@router.get("/map")
def show_map(asked: AskedRun, by: By = "pca") -> HTMLResponse:
    """The page; its script asks for the points."""
    opened = asked.opened
    return asked.page(
        "map.html",
        {
            "embedded": embedded(opened) is not None,
            "method": by,
            "methods": METHODS,
            "columns": [name for name in FACETS if opened.rows.facets()[name]],
            "labels": opened.rows.labels,
        },
    )


def ask_map(asked: AskedRun, by: LayoutMethod) -> RunMap:
    """The map of a run.

    Raises:
        HTTPException: if there is none, or it cannot be made.
    """
    try:
        found = read_map(asked.viewer, asked.opened, by)
    except MissingExtraError as error:
        raise HTTPException(501, str(error)) from None
    except ValueError as error:  # too few rows for the method
        raise HTTPException(400, str(error)) from None
    if found is None:
        raise HTTPException(404, "no embeddings were measured in this run")
    return found


@router.get("/map/points")
def send_places(asked: AskedRun, by: By = "pca") -> Response:
    """Where the drawn rows lie: x and y by turns."""
    found = ask_map(asked, by)
    return send_json(
        {
            "rows": len(found.places),
            "placed": int((~np.isnan(found.places[:, 0])).sum()),
            "of": found.of,
            "variance": None if np.isnan(found.variance) else found.variance,
            "places": found.places[found.drawn].ravel(),
        }
    )


@router.get("/map/colours")
def send_colours(asked: AskedRun, colour: str, by: By = "pca") -> Response:
    """What the drawn rows are coloured by: groups, or the numbers of a score."""
    drawn, rows = ask_map(asked, by).drawn, asked.opened.rows
    if colour in FACETS:
        codes, names = rows.codes(colour)
        return send_json(in_groups(codes[drawn], [name or "none" for name in names]))
    if colour not in rows.labels:
        raise HTTPException(400, "no such colour")
    values = asked.opened.values(colour)[drawn]
    if names_clusters(asked.opened, colour):
        codes = np.nan_to_num(values, nan=-1).astype(np.int64)
        names = [f"{colour} {n}" for n in range(codes.max(initial=-1) + 1)]
        return send_json(in_groups(np.where(codes < 0, len(names), codes), [*names, "none"]))
    return send_json({"values": values.astype(np.float32)})  # NaN is written as null


def names_clusters(opened: OpenedRun, label: str) -> bool:
    """Whether a score is the name of a cluster."""
    return SCORERS[opened.scores[label].scorer].unit == "label"


def in_groups(codes: np.ndarray, names: list[str]) -> dict[str, object]:
    """Groups by size, the small ones as one; names as a page may show them."""
    sizes = np.bincount(codes, minlength=len(names))
    order = np.lexsort((np.arange(len(names)), -sizes))
    own = [each for each in order[:MOST_GROUPS] if sizes[each]]
    place = np.full(len(names), len(own))
    place[own] = np.arange(len(own))
    groups = [
        {"name": harmless(cut(names[each], NAME_CHARACTERS)), "rows": int(sizes[each])}
        for each in own
    ]
    if left := int(sizes.sum() - sum(sizes[each] for each in own)):
        groups.append({"name": "all others", "rows": left})
    return {"groups": groups, "codes": place[codes]}


@router.get("/map/row")
def send_row(asked: AskedRun, n: int, by: By = "pca") -> Response:
    """A drawn row, for whoever points at it; texts as a page may show them."""
    found = ask_map(asked, by)
    if not 0 <= n < len(found.drawn):
        raise HTTPException(404, "no such point")
    line = asked.opened.rows.at(int(found.drawn[n]))
    assert line is not None
    with asked.viewer.reading_tables() as con:
        (line,) = with_heads(con, [line])
    texts = {"prompt": line.prompt, "response": line.response, "source": line.source}
    shown = {name: harmless(cut(text, TEXT_CHARACTERS)) for name, text in texts.items()}
    return send_json(
        {"id": line.example_id, "status": line.reason or line.status, "rank": line.rank, **shown}
    )


def rows_in_area(asked: AskedRun, area: str) -> list[str] | None:
    """Ids of the rows in an area of a map, METHOD:X,X,Y,Y; None where none is asked for.

    Raises:
        HTTPException: if it is no area.
    """
    if not area:
        return None
    method, _, ends = area.partition(":")
    try:
        left, right, low, high = map(float, ends.split(","))
    except ValueError:
        raise HTTPException(400, "an area of a map is METHOD:X,X,Y,Y") from None
    if method not in METHODS:
        raise HTTPException(400, "no such map")
    places = ask_map(asked, method).places
    x, y = places.T
    within = (x >= left) & (x <= right) & (y >= low) & (y <= high)  # NaN is in no area
    ids = np.array(asked.opened.rows.ids(), dtype=object)
    found: list[str] = ids[within].tolist()
    return found
