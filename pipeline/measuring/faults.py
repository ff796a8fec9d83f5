"""What a template does to the rows of a run, in words: before anything is spent on them."""

from collections.abc import Sequence

from storage.database import Connection
from storage.exports_manifest import TemplateFaults
from storage.measurement_details import (
    count_above_zero,
    count_members,
    read_details,
)
from storage.measurements import MeasureKey

MOST_TOLD = 5
"""Reasons that are told; all of them are in the view `token_counts`."""


def count_faults(
    con: Connection, key: MeasureKey, pool: Sequence[str], kept: Sequence[str]
) -> TemplateFaults:
    """What a template does to rows.

    Args:
        con: where tokens were counted.
        key: of the token counts.
        pool: ids among which rows were refused.
        kept: ids of those whose turns, parts and ends are counted.
    """
    details = [each for each in read_details(con, key, pool) if each.state == "failed"]
    return TemplateFaults(
        refused={each.detail: each.rows for each in details},
        placements=count_members(con, key, "placements", kept),
        unwritten=count_members(con, key, "unwritten", kept),
        unstopped=count_above_zero(con, key, "unstopped", kept),
    )


def fault_lines(faults: TemplateFaults) -> list[str]:
    """A line for each reason for which rows cannot be trained, and for what is trained otherwise.

    Nothing where every row is trained as it is.
    """
    refused = list(faults.refused.items())
    lines = [f"{rows} rows failed: {why}" for why, rows in refused[:MOST_TOLD]]
    if left := sum(rows for _, rows in refused[MOST_TOLD:]):
        lines.append(f"{left} rows failed for other reasons")
    rewritten = sum(n for name, n in faults.placements.items() if name != "in_place")
    if rewritten:
        lines.append(
            f"{rewritten} of {sum(faults.placements.values())} trained turns are rows of their "
            "own: the template writes them otherwise once others follow"
        )
    for part, rows in faults.unwritten.items():
        lines.append(f"the template leaves out the {part} of {rows} rows")
    if faults.unstopped:
        lines.append(
            f"{faults.unstopped} rows have a turn that ends without an end-of-text or end-of-turn "
            "token: a model trained on them does not learn to stop"
        )
    return lines
