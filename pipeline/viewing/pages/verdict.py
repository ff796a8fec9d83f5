"""The verdict: what became of the rows, what the choice is worth, and what nobody could check."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from pipeline.contamination.report import CheckReport, read_check_report
from pipeline.evidence.lds_markdown import lds_markdown
from pipeline.evidence.markdown import agreement_table, disputed_table, moved_table, overlap_lines
from pipeline.evidence.trial_markdown import trial_markdown
from pipeline.reporting.changes import changes_markdown, compare_runs
from pipeline.viewing.asked import AskedRun
from pipeline.viewing.flow_picture import draw_flow
from pipeline.viewing.opened_run import OpenedRun
from pipeline.viewing.rendering import as_html
from storage.database import Connection
from storage.selections import CONTROLS, read_run_exports, read_run_trials
from storage.trial_items import read_last_halves, read_last_result

router = APIRouter()

KINDS = {
    "choice": "chosen",
    "random": "random, as many rows",
    "random_tokens": "random, as many tokens",
    "length_matched": "random, as long",
    "eligible": "all it was chosen from",
}


@dataclass(frozen=True, slots=True)
class LengthBar:
    """How long some rows are, as a picture has it: in units from 0 to 1000, 1000 the longest."""

    kind: str
    rows: int
    tokens: int
    median: float
    places: tuple[float, ...]
    """Of 10 %, 25 %, the median, 75 % and 90 %."""


@router.get("/")
def show_verdict(asked: AskedRun) -> HTMLResponse:
    """The first page."""
    faults = asked.viewer.template_faults(asked.opened)
    with asked.viewer.reading() as con:
        values = verdict_values(con, asked.opened, asked.run)
    return asked.page("verdict.html", values | {"faults": faults})


def verdict_values(con: Connection, opened: OpenedRun, run: str) -> dict[str, object]:
    """What the page says of a run."""
    run_id, evidence = opened.listed.run_id, opened.evidence
    check = read_check_report(con, run_id)
    result = read_last_result(con, run_id)
    halves = read_last_halves(con, run_id)
    changes = None
    if opened.previous is not None:
        changes = changes_markdown(compare_runs(con, opened.previous, run_id))
    budget = [n for count in opened.counts if count.stage == "select" for n in count.notes]
    quarantined = [(c, c.quarantined) for c in opened.counts if c.quarantined]
    return {
        "flow": draw_flow(opened.counts, run),
        "steps_notes": budget,
        "lengths": draw_lengths(evidence["lengths"]) if evidence else [],
        "overlaps": list(overlap_lines(evidence["overlaps"])) if evidence else [],
        "moved": as_html(moved_table(evidence["moved"])) if evidence and evidence["moved"] else "",
        "agreement": table_of(evidence, "agreement", agreement_table),
        "disputed": table_of(evidence, "disputed", disputed_table),
        "check": check,
        "unchecked": count_unchecked(check),
        "changes": as_html(changes.partition("\n")[2]) if changes else "",
        "quarantined": quarantined,
        "exports": read_run_exports(con, run_id),
        "trials": read_run_trials(con, run_id),
        "trial": as_html(trial_markdown(result).partition("\n")[2]) if result else "",
        "lds": as_html(lds_markdown(halves).partition("\n")[2]) if halves else "",
        "scored": {label: opened.rows.count_scored(label) for label in opened.rows.labels},
    }


def table_of(evidence: Mapping[str, Any] | None, name: str, table: Any) -> str:  # noqa: ANN401
    """A part of the evidence as a table; "" where there is none."""
    return as_html(table(evidence[name])) if evidence and evidence[name] else ""


def count_unchecked(check: CheckReport | None) -> dict[tuple[str, str], int]:
    """Evaluation set and reason → items that no rule could find."""
    found: dict[tuple[str, str], int] = {}
    for each in check.unchecked if check else ():
        key = (each.evaluation, each.reason)
        found[key] = found.get(key, 0) + 1
    return found


def draw_lengths(lengths: Mapping[str, Any]) -> list[LengthBar]:
    """Loss tokens of the choice, its controls, and what they were chosen from, on one scale."""
    kinds = [kind for kind in ("choice", *CONTROLS, "eligible") if kind in lengths]
    had = [kind for kind in kinds if lengths[kind]["quantiles"]]
    most = max((lengths[kind]["quantiles"][5] for kind in had), default=1.0)  # the 90 %
    bars = []
    for kind in had:
        each = lengths[kind]
        at = tuple(1000 * q / most for q in each["quantiles"][1:6])
        median = each["quantiles"][3]
        bars.append(LengthBar(KINDS[kind], each["rows"], each["tokens"], median, at))
    return bars
