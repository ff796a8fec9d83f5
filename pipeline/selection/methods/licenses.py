"""Rows that may be used by the licences of their sources, and of the models that wrote them.

A row passes if one of the sources that hold it has a licence that is allowed; what was generated or
redacted goes by the sources of what it was made from, and also by the licence of each model that
wrote it or what it was made from: all of these must be allowed. What was made from no row goes by
its models alone. Names are compared as SPDX identifiers are, without regard to case. `unknown`,
which stands for a source or a model whose licence nobody gave, is not allowed unless it is named.

For a set that is to be handed on or used under known terms. Not for finding out what a licence
permits: it compares names that the recipe states, and believes them. No model; it costs nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.ranking.outcome import Outcome, account_for, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import by_id
from pipeline.settings import Settings
from scorers.arrays import Strings


class LicenseSettings(Settings):
    """Which licences rows may have."""

    allowed: tuple[str, ...] = Field(
        min_length=1,
        description="SPDX names, as MIT or CC-BY-4.0; unknown, where nobody gave one, counts only "
        "if it is named.",
    )
    action: Literal["report", "remove"] = Field(
        default="remove",
        description="What happens to rows of other licences: report keeps and counts them.",
    )

    def allows(self, licenses: Collection[str]) -> bool:
        """Whether one of these licences is allowed."""
        wanted = {name.casefold() for name in self.allowed}
        return any(name.casefold() in wanted for name in licenses)

    def allows_row(self, sources: Collection[str], writers: Collection[str]) -> bool:
        """Whether a row may be used: one of its sources' licences, and all of its models'."""
        of_sources = self.allows(sources) if sources else bool(writers)
        return of_sources and all(self.allows([name]) for name in writers)

    def pick(self, rows: Candidates) -> Outcome:
        """Pick the rows of allowed licences, or all of them where that is only to be reported."""
        sources, writers = rows.all_licenses.tolist(), rows.writers_licenses.tolist()
        outcome = select_licensed(sources, writers, rows.ids, self)
        out = int((outcome.reasons != "").sum())
        note = f"{out} rows have no licence among {', '.join(self.allowed)}"
        if self.action == "report":
            n = len(rows)
            return replace(account_for(np.arange(n), no_reasons(n), outcome.value), notes=(note,))
        return replace(outcome, notes=(note,))


def select_licensed(
    sources: Sequence[Collection[str]],
    writers: Sequence[Collection[str]],
    ids: Strings,
    settings: LicenseSettings,
) -> Outcome:
    """Pick the rows of which a source has a licence that is allowed, and each model.

    Args:
        sources: (n,) the licences of the sources of every row; none of what has no source.
        writers: (n,) those of the models that wrote it; none where no model did.
        ids: (n,) distinct example ids.
        settings: what is allowed.

    Returns:
        The picks, by id; the others are "license_not_allowed".

    Raises:
        ValueError: if lengths differ.
    """
    if not len(sources) == len(writers) == len(ids):
        raise ValueError(
            f"{len(sources)} rows have licences, {len(writers)} those of models, but there are "
            f"{len(ids)} ids"
        )
    reasons = no_reasons(len(ids))
    for row, names in enumerate(zip(sources, writers, strict=True)):
        if not settings.allows_row(*names):
            reasons[row] = "license_not_allowed"
    picks = by_id(np.flatnonzero(reasons == ""), ids)
    return account_for(picks, reasons, np.full(len(ids), np.nan))
