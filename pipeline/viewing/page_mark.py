"""Whether the page of a run is of what the workspace knows now: then it need not be made again.

The mark has all that a page is made of, retried measurements, verdicts, trainings and trials among
it, the code and the templates; and the file itself, so that one that was edited or cut is made
again. It lies beside the indexes, and may be deleted at any time.
"""

import hashlib
from pathlib import Path

from pipeline.code_version import code_version
from storage.conversations import content_hash
from storage.database import read_tables
from storage.error_notes import whole_file
from storage.workspace import Workspace
from storage.workspace_mark import read_workspace_mark

LOOKS = ("templates/*.html", "static/view.css")


def mark_page(workspace: Workspace, run_id: str) -> str:
    """The mark of a run's page as it is; "" where there is none."""
    page = workspace.page_of(run_id)
    if not page.is_file():
        return ""
    with read_tables(workspace) as con:
        known = read_workspace_mark(con)
    folder = Path(__file__).parent
    looks = [path.read_text("utf-8") for part in LOOKS for path in sorted(folder.glob(part))]
    written = hashlib.sha256(page.read_bytes()).hexdigest()
    return content_hash([known, code_version(), content_hash(looks), written])


def is_page_fresh(workspace: Workspace, run_id: str) -> bool:
    """Whether a run's page would be the same again."""
    kept = mark_file(workspace, run_id)
    return kept.is_file() and kept.read_text("utf-8") == mark_page(workspace, run_id)


def keep_mark(workspace: Workspace, run_id: str) -> None:
    """Note what a run's page, just made, was made of; the run has the workspace to itself."""
    with whole_file(mark_file(workspace, run_id)) as file:
        file.write_text(mark_page(workspace, run_id), "utf-8")


def mark_file(workspace: Workspace, run_id: str) -> Path:
    """Where the mark of a run's page is kept."""
    return workspace.indexes / f"page-{run_id}.mark"
