"""One picture of a run's scores: how the pool is spread, and how the rows that were selected.

A panel for each score. Both spreads are shares of their own rows, so that a small selection can be
seen beside a large pool. Rows without a score are in no bar; each panel says how many they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.run_context import RunContext
from scorers import SCORERS
from storage.database import read_workspace
from storage.scores import read_scores
from storage.selections import read_run_selections, read_selection

if TYPE_CHECKING:  # loaded only where something is drawn
    from matplotlib.axes import Axes

FEWEST_BINS, MOST_BINS = 8, 40
"""In between, the square root of the number of scored rows."""
MOST_ROWS = 200_000
"""Of the pool that are drawn; from more, every n-th by id, which is a hash, is taken."""
LONG_TAILED = {"perplexity"}
"""Units of scores that are seen by their ratios: one row may have a thousand times another's."""
PANELS_IN_A_ROW = 2
PANEL_INCHES = (4.6, 2.5)
DOTS_PER_INCH = 80
"""Two panels then fit the column of an artifact page, so that nothing is scaled down."""
POOL, CHOSEN = "#9aa7b4", "#d1495b"
HEADING_POINTS, TITLE_POINTS, LABEL_POINTS, TICK_POINTS = 11, 10, 9, 8
TAIL_PERCENT = 0.5
"""At each end; what lies beyond is counted in the outermost bar."""


@dataclass(frozen=True, slots=True)
class ScoreSpread:
    """What one panel shows."""

    label: str
    unit: str
    pool: NDArray[np.float64]
    """(n,) scores; NaN where there is none."""
    chosen: NDArray[np.float64]
    """(k,) scores of the selected rows, likewise."""


def draw_score_histograms(run: RunContext, pool: Sequence[str], drawn: Path) -> bytes | None:
    """The scores of a run as a PNG; None where the run has no scores or no rows.

    Args:
        run: with its scores.
        pool: ids of its examples.
        drawn: where an earlier execution may have left the picture; one of the same scores is not
            drawn again.
    """
    if not run.scores or not pool:
        return None
    spreads = read_spreads(run, pool[:: -(-len(pool) // MOST_ROWS)])  # -(-a // b) rounds up
    mark = mark_of_spreads(spreads, len(pool))
    if drawn.is_file() and mark.encode() in (picture := drawn.read_bytes()):
        return picture
    return draw(spreads, len(pool), mark)


def mark_of_spreads(spreads: Sequence[ScoreSpread], rows: int) -> str:
    """What tells pictures apart: a hash of all that is drawn."""
    digest = sha256(str(rows).encode())
    for spread in spreads:
        digest.update(f"{spread.label} {spread.unit} {len(spread.pool)} ".encode())
        digest.update(spread.pool.tobytes() + spread.chosen.tobytes())
    return digest.hexdigest()


def read_spreads(run: RunContext, ids: Sequence[str]) -> list[ScoreSpread]:
    """The scores of some rows of the pool, and of all rows that the run selected."""
    with read_workspace(run.workspace) as con:
        selections = read_run_selections(con, run.run_id)
        picked = (
            read_selection(con, selections["choice"].selection_id)[0]
            if "choice" in selections
            else []
        )
        return [
            ScoreSpread(
                label,
                SCORERS[key[0]].unit,
                read_scores(con, key, ids)[0],
                read_scores(con, key, picked)[0],
            )
            for label, key in run.scores.items()
        ]


def draw(spreads: Sequence[ScoreSpread], rows: int, mark: str = "") -> bytes:
    """The picture as a PNG, a panel for each spread; the heading says the rows of the pool.

    The mark is not seen, and is among the bytes.
    """
    from matplotlib.figure import Figure

    across = min(PANELS_IN_A_ROW, len(spreads))
    down = -(-len(spreads) // across)
    size = (across * PANEL_INCHES[0], down * PANEL_INCHES[1] + 0.5)  # heading and legend
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for axis, spread in zip(axes, spreads, strict=False):  # the last row may have places left over
        draw_panel(axis, spread)
    for axis in axes[len(spreads) :]:
        axis.set_axis_off()
    figure.suptitle(heading(spreads, rows), fontsize=HEADING_POINTS)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        fontsize=LABEL_POINTS,
        edgecolor="none",
    )
    out = BytesIO()
    figure.savefig(out, format="png", dpi=DOTS_PER_INCH, metadata={"Comment": mark})
    return out.getvalue()


def heading(spreads: Sequence[ScoreSpread], rows: int) -> str:
    """What is compared with what."""
    drawn, chosen = len(spreads[0].pool), len(spreads[0].chosen)
    part = "" if drawn == rows else f" (one in {-(-rows // MOST_ROWS)} drawn)"
    return f"Scores of {rows:,} rows of the pool{part} and of {chosen:,} selected"


def draw_panel(axis: "Axes", spread: ScoreSpread) -> None:
    """Draw one score: shares of the pool as bars, shares of the selection as a line."""
    missing = int(np.isnan(spread.pool).sum())
    title = f"{spread.label}: {missing:,} of {len(spread.pool):,} unscored"
    axis.set_title(title, fontsize=TITLE_POINTS)
    axis.set_xlabel(spread.unit, fontsize=LABEL_POINTS)
    axis.set_ylabel("share of rows", fontsize=LABEL_POINTS)
    axis.tick_params(labelsize=TICK_POINTS)
    logarithmic = spread.unit in LONG_TAILED
    edges = bin_edges(spread.pool, logarithmic)
    axis.set_xscale("log" if logarithmic else "linear")
    axis.stairs(shares(spread.pool, edges), edges, fill=True, color=POOL, label="pool")
    axis.stairs(shares(spread.chosen, edges), edges, color=CHOSEN, linewidth=1.6, label="selected")


def bin_edges(values: NDArray[np.float64], logarithmic: bool = False) -> NDArray[np.float64]:
    """(bins + 1,) edges over all but the tails; around the value where there is only one.

    Args:
        values: (n,) scores, NaN where there is none.
        logarithmic: equal ratios instead of equal widths; every score is above 0 then.
    """
    scored = values[~np.isnan(values)]
    bins = int(np.clip(np.sqrt(len(scored)), FEWEST_BINS, MOST_BINS))
    if not len(scored):
        return np.linspace(1.0, 2.0, bins + 1)  # above 0, for an axis of either kind
    low, high = np.percentile(scored, [TAIL_PERCENT, 100 - TAIL_PERCENT])
    if low == high:
        low, high = (low / 2, high * 2) if logarithmic else (low - 0.5, high + 0.5)
    return np.geomspace(low, high, bins + 1) if logarithmic else np.linspace(low, high, bins + 1)


def shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(bins,) share of the scored rows in each bin; zeros where no row is scored.

    Args:
        values: (n,) scores, NaN where there is none.
        edges: (bins + 1,) rising; what lies beyond counts into the first or last bin.
    """
    scored = values[~np.isnan(values)]
    # Clipped to the edges, and not dropped: the shares of all bins add up to 1.
    counts, _ = np.histogram(np.clip(scored, edges[0], edges[-1]), edges)
    return np.asarray(counts / max(1, len(scored)), dtype=np.float64)
