"""The funnel as a flow: what a step kept goes on below it, what it dropped leaves sideways."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.viewing.rendering import query_of
from storage.run_rows import step_place
from storage.runs import StageCount

WIDTH = 1000.0
"""Of all the rows there ever were, in units of the picture."""

LEAST = 2.0
"""A band of a single row is seen."""


@dataclass(frozen=True, slots=True)
class Band:
    """Some rows of a step."""

    kind: str
    """kept, added, lost or unread."""
    label: str
    """Of rows that left, the reason."""
    rows: int
    left: float
    width: float
    link: str
    """The rows themselves; "" where there is no page of them."""


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One step."""

    stage: str
    label: str
    rows_in: int
    kept: Band
    leaving: Sequence[Band]
    added: int
    notes: Sequence[str]


def draw_flow(counts: Sequence[StageCount], run: str) -> list[FlowStep]:
    """The steps of a run as bands, all on one scale.

    Args:
        counts: in the order in which the steps were taken.
        run: as addresses name it.
    """
    most = max((c.rows_in + c.added for c in counts), default=0)
    return [draw_step(each, max(1, most), run) for each in counts]


def draw_step(count: StageCount, most: int, run: str) -> FlowStep:
    """One step: what it kept to the left, then what it dropped, the largest first."""

    def wide(rows: int) -> float:
        return max(LEAST, WIDTH * rows / most) if rows else 0.0

    link = query_of({"run": run, "kept_by": step_place(count.stage, count.step)})
    kept = Band("kept", "", count.kept, 0.0, wide(count.kept), f"/rows?{link}")
    left, leaving = kept.width, []
    parts = [("lost", *each) for each in count.dropped.items()]
    parts += [("unread", *each) for each in count.quarantined.items()]
    for kind, reason, rows in sorted(parts, key=lambda part: (-part[2], part[1])):
        values = {"run": run, "stage": count.stage, "step": count.step, "reason": reason}
        # Exact copies and what could not be read are no examples: there is no row to open.
        known = kind == "lost" and count.stage != "ingest"
        to = f"/rows?{query_of(values)}" if known else ""
        leaving.append(Band(kind, reason, rows, left, wide(rows), to))
        left += leaving[-1].width
    return FlowStep(
        count.stage, count.label, count.rows_in, kept, leaving, count.added, count.notes
    )
