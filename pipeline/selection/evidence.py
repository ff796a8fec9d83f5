"""All that can be said for and against a selection, gathered once it is made and stored with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evidence.agreement import (
    LENGTH,
    Agreement,
    Disagreement,
    most_disputed,
    rank_agreement,
)
from pipeline.evidence.lengths import Lengths, describe_lengths
from pipeline.evidence.overlap import Overlap, measure_overlap
from pipeline.selection.candidates import Candidates
from pipeline.selection.sensitivity import Moved


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stands beside a selection."""

    lengths: Mapping[str, Lengths]
    """Of the choice, of what it was chosen from, and of each control."""
    overlaps: Sequence[Overlap]
    moved: Sequence[Moved] | None
    """None where the recipe does not want to know."""
    agreement: Sequence[Agreement]
    disputed: Sequence[Disagreement]


def gather_evidence(
    eligible: Candidates,
    chosen: Candidates,
    controls: Mapping[str, Candidates],
    scores: Sequence[str],
    moved: Sequence[Moved] | None,
    last: tuple[str, set[str]] | None,
) -> Evidence:
    """Compare a selection with everything it can be compared with.

    Args:
        eligible: what the first filter was given.
        chosen: the selection.
        controls: kind → rows of each control.
        scores: names of the scores that rank, labels left out.
        moved: what small changes do; None where that was not looked at.
        last: the run before this one and the ids it chose; None for the first.
    """
    ids = set(chosen.ids)
    overlaps = [  # the length-matched control is drawn beside the choice, so not by chance alone
        measure_overlap(kind, ids, set(rows.ids), len(eligible) if kind == "random" else None)
        for kind, rows in controls.items()
    ]
    if last is not None:
        overlaps.append(measure_overlap(f"run {last[0]}", ids, last[1], None))
    groups = {"choice": chosen, **controls, "eligible": eligible}
    values = {name: eligible.score(name) for name in scores}
    return Evidence(
        lengths={kind: describe_lengths(rows.loss_tokens) for kind, rows in groups.items()},
        overlaps=overlaps,
        moved=moved,
        agreement=rank_agreement({**values, LENGTH: eligible.loss_tokens.astype(np.float64)}),
        disputed=most_disputed(values, eligible.ids),
    )
