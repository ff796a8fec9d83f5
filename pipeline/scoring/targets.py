"""Targets: examples of what the trained model shall do, which rows of the pool are to be close to.

They are read like sources and measured like the pool, and are no part of it: no step deduplicates,
selects or exports one for being a target. A row that stands in both is scored like any other, and
the run says how many there are, for what was chosen then contains what it was compared with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from storage.conversations import content_hash
from storage.database import read_workspace
from storage.examples import read_pairs, read_pool
from storage.sources import count_occurrences, count_quarantine
from storage.workspace import Workspace


@dataclass(frozen=True)
class Targets:
    """The examples to be close to, and the sources they stand in."""

    pairs: Sequence[tuple[str, str]]
    """Example and source, sorted; an example of two sources stands here twice."""
    rows: int = 0
    """Rows of the sources, those in quarantine among them."""
    quarantined: int = 0

    @cached_property
    def ids(self) -> list[str]:
        """Distinct examples, sorted."""
        return sorted({example_id for example_id, _ in self.pairs})

    def key(self, by_source: bool) -> str:
        """A hash of the examples, and of which stand together in a source where that matters."""
        return content_hash(list(self.pairs) if by_source else self.ids)[:16]


NO_TARGETS = Targets(())


def read_targets(workspace: Workspace, source_ids: Sequence[str]) -> Targets:
    """The examples of these sources."""
    with read_workspace(workspace) as con:
        quarantined = sum(count_quarantine(con, source_ids).values())
        rows = count_occurrences(con, source_ids) + quarantined  # an occurrence was read as a row
        return Targets(read_pairs(con, source_ids), rows, quarantined)


def describe_targets(
    workspace: Workspace, targets: Targets, source_ids: Sequence[str]
) -> list[str]:
    """What a run says of its targets, a line each; nothing where there are none.

    The sources are those of the pool, whose rows may be among the targets.
    """
    if not targets.rows:
        return []
    bad = f", {targets.quarantined} more in quarantine" if targets.quarantined else ""
    lines = [f"targets: {len(targets.ids)} examples{bad}"]
    with read_workspace(workspace) as con:
        shared = len(set(targets.ids).intersection(read_pool(con, source_ids)))
    if shared:
        lines.append(
            f"targets: {shared} of them are in the pool too and are scored like any row: if they "
            "are chosen, a model trained on the choice must not be tested on them"
        )
    return lines
