"""The scores: how pool, choice and controls are spread, one by one and two against each other."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response

from pipeline.reporting.score_histograms import LONG_TAILED, bin_edges
from pipeline.viewing.asked import AskedRun
from pipeline.viewing.opened_run import OpenedRun
from scorers import SCORERS
from scorers.arrays import Floats

MOST_POINTS = 3_000
"""Of a picture of two scores, which is SVG: Plotly's WebGL makes functions from
texts, and the policy of the pages forbids that."""

GROUPS = ("pool", "chosen", "random", "length_matched")

router = APIRouter()


@router.get("/scores")
def show_scores(asked: AskedRun) -> HTMLResponse:
    """Histograms, and two scores against each other."""
    steps = asked.opened.described.recipe.get("select", {}).get("steps", [])
    bounds = {
        step["score"]: f"select.steps.{at}"
        for at, step in enumerate(steps)
        if step.get("method") == "threshold"
    }
    return asked.page(
        "scores.html", {"bounds": bounds, "can_try": asked.viewer.what_if is not None}
    )


@router.get("/scores/histograms")
def send_histograms(asked: AskedRun) -> Response:
    """Every histogram, as the page's script draws them."""
    return send_json([histogram(asked.opened, label) for label in asked.opened.rows.labels])


@router.get("/scores/points")
def send_points(asked: AskedRun, x: str, y: str) -> Response:
    """Two scores of the rows that have both, or of a part of them."""
    labels = asked.opened.rows.labels
    if x not in labels or y not in labels:
        raise HTTPException(400, "no such score")
    return send_json(points(asked.opened, asked.opened.values(x), asked.opened.values(y)))


@router.get("/plotly.js")
def send_plotly() -> Response:
    """Plotly's own script, from its wheel."""
    import plotly  # only for where it lies, and it takes a while

    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return FileResponse(
        script, media_type="text/javascript", headers={"cache-control": "private, max-age=86400"}
    )


def send_json(value: object) -> Response:
    """A value as JSON; what could not be had is null."""
    return Response(
        orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )


def histogram(opened: OpenedRun, label: str) -> dict[str, Any]:
    """A score's bars: of each group the share of its scored rows in each bin."""
    values = opened.values(label)
    unit = SCORERS[opened.scores[label].scorer].unit
    edges = bin_edges(values, unit in LONG_TAILED)
    groups = {}
    for name in GROUPS:
        own = values if name == "pool" else values[opened.rows.members(name)]
        own = own[~np.isnan(own)]
        if len(own):
            counts, _ = np.histogram(np.clip(own, edges[0], edges[-1]), edges)
            groups[name] = {"rows": len(own), "shares": counts / len(own)}
    return {
        "label": label,
        "unit": unit,
        "logarithmic": unit in LONG_TAILED,
        "edges": edges,
        "scored": int((~np.isnan(values)).sum()),
        "rows": len(values),
        "groups": groups,
    }


def points(opened: OpenedRun, x: Floats, y: Floats) -> dict[str, Any]:
    """Places of rows that have both numbers, chosen ones last, so that they lie on top."""
    both = np.flatnonzero(~np.isnan(x) & ~np.isnan(y))
    # Rows are sorted by id, which is a hash: every n-th is a part drawn at random, and the same.
    drawn = both[:: max(1, -(-len(both) // MOST_POINTS))]
    ids = np.array(opened.rows.ids(), dtype=object)
    chosen = opened.rows.members("chosen")[drawn]
    random = opened.rows.members("random")[drawn]
    groups = {"out": ~chosen & ~random, "random control": random & ~chosen, "chosen": chosen}
    return {
        "rows": len(both),
        "drawn": len(drawn),
        "groups": {
            name: {
                "x": x[drawn[of]],
                "y": y[drawn[of]],
                "ids": [each[:8] for each in ids[drawn[of]]],
            }
            for name, of in groups.items()
        },
    }
