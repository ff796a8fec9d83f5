"""What a step decided, in the words of the tables: reasons, details, and books that balance."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.ranking.outcome import Outcome, TurnReasons
from pipeline.selection.candidates import Candidates, Names
from storage.decisions import Decisions
from storage.runs import StageCount


def describe_decisions(
    candidates: Candidates,
    outcome: Outcome,
    scores: Sequence[str] = (),
    details: Sequence[str | None] | None = None,
) -> Decisions:
    """What a step made of the rows it was given, in the words of the `decisions` table.

    The scores are those that decided, to say why a row has none; details stand beside reasons.
    """
    ids = candidates.ids
    if outcome.details is not None:
        details = outcome.details.tolist()
    if outcome.turns is not None:
        details = describe_turns(candidates, outcome.turns)
    reasons = spoken_reasons(candidates, outcome, scores).tolist()
    causes = [None if row < 0 else str(ids[row]) for row in outcome.because_of.tolist()]
    values = [None if value != value else value for value in outcome.value.tolist()]  # NaN: null
    return Decisions(ids.tolist(), reasons, causes, values, details)


def describe_turns(candidates: Candidates, turns: TurnReasons) -> list[str | None]:
    """Of each row which turns a step made context only, and why; None where it took none."""
    some = np.flatnonzero(turns.aside.any(axis=1))
    told: list[str | None] = [None] * len(candidates)
    places = candidates.pool.trained_at(candidates.ids[some].tolist())
    for row, trained_at in zip(some.tolist(), places, strict=True):
        of_row = zip(trained_at, turns.reasons[row], turns.values[row], strict=False)
        told[row] = "; ".join(
            f"message {at + 1} is not trained: {reason}"
            + (f" at {value:.4f}" if value == value else "")  # not of NaN
            for at, reason, value in of_row
            if reason
        )
    return told


def spoken_reasons(candidates: Candidates, outcome: Outcome, scores: Sequence[str]) -> Names:
    """(n,) reasons; with that of a row without a score goes the state of the first it lacks."""
    unscored = np.flatnonzero(outcome.reasons == "no_score")
    if not unscored.size or not scores:
        return outcome.reasons
    reasons = outcome.reasons.copy()
    rows = candidates.at(unscored)
    states = np.full(len(rows), "ok", dtype=object)
    for name in scores:  # a score that the row has leaves "ok", and the next one is asked
        states = np.where(states == "ok", rows.score_states(name), states)
    reasons[unscored] = [f"no_score:{state}" if state != "ok" else "no_score" for state in states]
    return reasons


def count_step(
    stage: str, step: int, label: str, reasons: Sequence[str], notes: Sequence[str] = ()
) -> StageCount:
    """Balance the books of a step that drops the rows with a reason and keeps the others."""
    dropped = Counter(reasons)
    kept = dropped.pop("", 0)  # no reason against it
    return StageCount(
        stage=stage,
        step=step,
        label=label,
        rows_in=len(reasons),
        kept=kept,
        dropped=dict(sorted(dropped.items())),
        notes=notes,
    )
