"""What a page is asked with: which run, which rows, in which order; told by the address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse

from pipeline.viewing.opened_run import OpenedRun, Viewer
from pipeline.viewing.rendering import query_of, render_page
from storage.run_rows import Bound, RowFilter, RowLine, RowOrder, step_place
from storage.runs import ListedRun
from storage.selections import CONTROLS

TEXTS = (
    "status",
    "stage",
    "reason",
    "source",
    "license",
    "language",
    "control",
    "text",
    "start",
    "area",
)

NUMBERS = ("step", "kept_by")

PAGES = (
    ("/", "Verdict"),
    ("/rows", "Rows"),
    ("/scores", "Scores"),
    ("/map", "Map"),
    ("/pairs", "Pairs"),
    ("/review", "Review"),
)
"""The ways at the top of every page."""

LONGEST = 400
"""Characters of what an address may ask for."""


@dataclass(frozen=True, slots=True)
class RunQuestion:
    """A question about one run."""

    request: Request
    viewer: Viewer
    opened: OpenedRun
    run: str
    """The run as the address names it; "" where it is the last."""
    listed: Sequence[ListedRun]

    def page(self, template: str, values: Mapping[str, object], status: int = 200) -> HTMLResponse:
        """A page of a template."""
        common = {
            "opened": self.opened,
            "run": self.run,
            "runs": self.listed,
            "recipe_file": self.viewer.recipe_file,
            "workspace": str(self.viewer.workspace.directory),
            "here": self.request.url.path,
            "pages_of_ours": PAGES,
            "every": RowFilter(),
            "label_of": self.label_of,
            "nonce": self.request.scope.get("nonce", ""),
            "fixed": False,
        }
        return HTMLResponse(render_page(template, common | dict(values)), status)

    def label_of(self, step: RowLine | int) -> str:
        """The step that dropped a row, or that has a place, as the books call it."""
        for count in self.opened.counts:
            if isinstance(step, int):
                found = step_place(count.stage, count.step) == step
            else:
                found = (count.stage, count.step) == (step.stage, step.step)
            if found:
                return f"{count.stage}: {count.label}"
        return ""


def ask_run(request: Request) -> RunQuestion:
    """The run that an address names, or the last."""
    viewer: Viewer = request.app.state.viewer
    run = request.query_params.get("run", "")[:LONGEST]
    listed = viewer.list_runs()
    found = next((each for each in listed if run in ("", each.run_id)), None)
    if found is None:
        raise HTTPException(404, "there is no such run in this workspace")
    return RunQuestion(request, viewer, viewer.open(found), run, listed)


AskedRun = Annotated[RunQuestion, Depends(ask_run)]
"""What a page takes."""


def row_filter(asked: RunQuestion) -> RowFilter:
    """The rows that an address asks for.

    Raises:
        HTTPException: if it names a number, a score or a control that is none.
    """
    given = {k: v[:LONGEST] for k, v in asked.request.query_params.items() if v.strip()}
    try:
        numbers = {name: int(given[name]) for name in NUMBERS if name in given}
        bounds = [
            Bound(
                label,
                float(given[f"min.{label}"]) if f"min.{label}" in given else None,
                float(given[f"max.{label}"]) if f"max.{label}" in given else None,
            )
            for label in asked.opened.rows.labels
            if f"min.{label}" in given or f"max.{label}" in given
        ]
    except ValueError as error:
        raise HTTPException(400, f"expected a number: {error}") from None
    texts = {name: given[name] for name in TEXTS if name in given}
    if texts.get("control", "") not in ("", *CONTROLS):
        raise HTTPException(400, "no such control")
    return RowFilter(**texts, **numbers, bounds=tuple(bounds))  # type: ignore[arg-type]


def row_order(asked: RunQuestion) -> RowOrder:
    """The order that an address asks for: a score, with a minus before it for the least first."""
    sort = asked.request.query_params.get("sort", "")
    label = sort.removeprefix("-")
    if label and label not in asked.opened.rows.labels:
        raise HTTPException(400, "no such score")
    return RowOrder(label, descending=not sort.startswith("-"))


def address_of(path: str, wanted: RowFilter, more: Mapping[str, object]) -> str:
    """The address of a page about some rows."""
    values: dict[str, object] = {name: getattr(wanted, name) for name in (*TEXTS, *NUMBERS)}
    for bound in wanted.bounds:
        values |= {f"min.{bound.score}": bound.low, f"max.{bound.score}": bound.high}
    return f"{path}?{query_of(values | dict(more))}"
