"""What a template does to the rows of a run, in words: before anything is spent on them."""

from collections.abc import Sequence

from storage.database import read_workspace
from storage.measurement_details import (
    count_above_zero,
    count_members,
    read_details,
)
from storage.measurements import MeasureKey
from storage.workspace import Workspace

MOST_TOLD = 5
"""Reasons that are told; all of them are in the view `token_counts`."""


def describe_faults(workspace: Workspace, key: MeasureKey, ids: Sequence[str]) -> list[str]:
    """A line for each reason for which rows cannot be trained, and for what is trained otherwise.

    Args:
        workspace: where tokens were counted.
        key: of the token counts.
        ids: of the pool.
    """
    with read_workspace(workspace) as con:
        details = [each for each in read_details(con, key, ids) if each.state == "failed"]
        lines = [f"{each.rows} rows failed: {each.detail}" for each in details[:MOST_TOLD]]
        if left := sum(each.rows for each in details[MOST_TOLD:]):
            lines.append(f"{left} rows failed for other reasons")
        placements = count_members(con, key, "placements", ids)
        rewritten = sum(n for name, n in placements.items() if name != "in_place")
        if rewritten:
            lines.append(
                f"{rewritten} of {sum(placements.values())} trained turns are rows of their own: "
                "the template writes them otherwise once others follow"
            )
        for part, rows in count_members(con, key, "unwritten", ids).items():
            lines.append(f"the template leaves out the {part} of {rows} rows")
        if unstopped := count_above_zero(con, key, "unstopped", ids):
            lines.append(
                f"{unstopped} rows have a turn that ends without an end-of-text or end-of-turn "
                "token: a model trained on them does not learn to stop"
            )
    return lines
