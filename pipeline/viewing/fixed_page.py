"""The page of a run as one file: what a browser shows of it in ten years, with no server.

It has the verdict, the histograms of the scores, a map, and some rows: the first of the choice, and
a few of each reason. Which rows those are depends on nothing but the run, and how many there are of
each kind is said. Nothing in it is a script, and nothing is loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.viewing.fixed_map import draw_map
from pipeline.viewing.opened_run import OpenedRun, Viewer
from pipeline.viewing.pages.scores import histogram
from pipeline.viewing.pages.verdict import verdict_values
from pipeline.viewing.rendering import render_page
from storage.database import Connection
from storage.error_notes import whole_file
from storage.examples import read_examples
from storage.run_rows import RowFilter, RowLine, RowOrder
from storage.shard_checks import DamagedMeasurementsError
from storage.workspace import Workspace

CHOSEN_ROWS = 12

ROWS_OF_A_REASON = 4

MOST_REASONS = 20

MOST_CHARACTERS = 4_000
"""Of one text: at most 100 rows of two texts are then below a megabyte."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The styles are in the file. What a row could smuggle in loads nothing and runs nothing."""


@dataclass(frozen=True, slots=True)
class SampledRow:
    """One row with its texts."""

    line: RowLine
    prompt: str
    response: str


@dataclass(frozen=True, slots=True)
class RowSample:
    """Some rows of a kind."""

    kind: str
    total: int
    rows: list[SampledRow]


def write_fixed_page(workspace: Workspace, run_id: str) -> Path:
    """Keep the page of a run in the workspace's reports; return where it is.

    Raises:
        QueryError: if there is no such run.
    """
    viewer = Viewer(workspace)
    page = fixed_page(viewer, run_id)
    workspace.reports.mkdir(exist_ok=True)
    path = workspace.page_of(run_id)
    with whole_file(path) as file:  # whoever reads it meanwhile sees all of the old or the new
        file.write_text(page, encoding="utf-8")
    return path


def fixed_page(viewer: Viewer, run_id: str) -> str:
    """The page of a run."""
    (listed,) = [each for each in viewer.list_runs() if each.run_id == run_id]
    opened = viewer.open(listed)
    faults = viewer.template_faults(opened)
    with viewer.reading() as con:
        values = verdict_values(con, opened, "")
        samples = list(sample_rows(con, opened))
        try:
            drawn_map, damaged = draw_map(con, opened), False
        except DamagedMeasurementsError:  # of a page without its map nothing else is lost
            drawn_map, damaged = None, True
    styles = Path(__file__).parent / "static" / "view.css"
    more = {
        "faults": faults,
        "samples": samples,
        "map": drawn_map,
        "map_damaged": damaged,
        "opened": opened,
        "every": RowFilter(),
        "recipe_file": "",
        "run": "",
        "fixed": True,
        "policy": POLICY,
        "styles": styles.read_text(encoding="utf-8"),
        "histograms": [histogram(opened, label) for label in opened.rows.labels],
        "most": MOST_CHARACTERS,
    }
    return render_page("fixed.html", values | more)


def sample_rows(con: Connection, opened: OpenedRun) -> Iterator[RowSample]:
    """The first rows of the choice, then those with the lowest ids of each reason."""
    chosen = RowFilter(status="chosen")
    wanted = [("chosen", chosen, CHOSEN_ROWS)]
    for reason, _ in opened.rows.facets()["reason"][:MOST_REASONS]:
        wanted.append((reason, RowFilter(reason=reason), ROWS_OF_A_REASON))
    for kind, rows, most in wanted:
        lines = opened.rows.page(rows, RowOrder(), (0, most))
        examples = read_examples(con, [line.example_id for line in lines])
        sampled = [
            SampledRow(line, example.prompt, example.response)
            for line, example in zip(lines, examples, strict=True)
        ]
        yield RowSample(kind, opened.rows.count(rows), sampled)
