"""What the documents of a recipe will need: what is read already, and what nobody knows yet."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.documents.stage import FoundDocument
from storage.database import read_workspace
from storage.documents import count_passages, read_known_cuts, read_refused
from storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PlannedDocuments:
    """Files of text before they are read. No model is asked of them."""

    files: int
    read: int
    """Those whose passages the workspace has."""
    passages: int
    """Of these."""
    refused: int
    """Those that gave no text when they were read, and are not read again."""
    to_read: int
    """The others: how many passages they give, and whether any, is known once they are read."""
    bytes_to_read: int


def plan_documents(workspace: Workspace, found: Sequence[FoundDocument]) -> PlannedDocuments:
    """Look up what the workspace has of some documents; nothing is read.

    Args:
        workspace: where they would be stored.
        found: from identify_documents; the same content twice is one.
    """
    with read_workspace(workspace) as con:
        known, refused = read_known_cuts(con), read_refused(con)
        distinct = {each.place.cut_id: each for each in found}
        passages = count_passages(con, sorted(known & distinct.keys()))
    without = {cut for cut, each in distinct.items() if each.place.document_id in refused}
    left = [each for cut, each in distinct.items() if cut not in known and cut not in without]
    return PlannedDocuments(
        files=len(distinct),
        read=len(known & distinct.keys()),
        passages=passages,
        refused=len(without),
        to_read=len(left),
        bytes_to_read=sum(each.bytes for each in left),
    )


def document_plan_line(plan: PlannedDocuments) -> str:
    """The same for a person."""
    line = (
        f"documents: {plan.files:,} files, {plan.read:,} read already ({plan.passages:,} passages)"
    )
    if plan.refused:
        line += f", {plan.refused:,} that gave no text (see `sluice quarantine`)"
    if plan.to_read:
        line += (
            f", {plan.to_read:,} to read ({plan.bytes_to_read:,} bytes), which takes no model; how "
            "many passages they give is known once `sluice ingest` has read them"
        )
    return line
