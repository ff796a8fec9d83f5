"""A selection, step by step, as a pure function: candidates in, picks and reasons out.

Rows leave in steps, each with its reason: those that cannot be trained on, those held out, those
that a filter of the recipe drops, and at last those that the budget has no room for. The select
stage stores what happens here; a what-if and a sensitivity analysis only look.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.ranking.outcome import Outcome, account_for, no_reasons, spread
from pipeline.selection.allocate_budget import allocate_budget, deciding_scores
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.heavy_losses import heavy_losses
from pipeline.selection.methods.licenses import LicenseSettings
from pipeline.selection.methods.random import random_keys
from pipeline.selection.step import Blend, Filter, FilterStep, RankStep
from pipeline.selection.steps import Step
from pipeline.settings import Settings

HELD_OUT = "held_out"

CHOSEN_OF_PAIRS = "chosen in their pairs"
"""The step that takes the rejected answers of pairs out, where there are some."""

NOT_HELD_OUT = "not held out"
"""The last step before the recipe's own."""

Reasons = NDArray[np.object_]


class SelectSettings(Settings):
    """How rows are chosen: filters, then one step that ranks and spends the budget."""

    name: str = Field(default="choice", description="What the selection is called.")
    held_out: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="Share of the prompts kept aside to measure training on; chosen by a seeded "
        "hash of the prompt, so a prompt stays where it is when the pool grows.",
    )
    sensitivity: bool = Field(
        default=True,
        description="Whether the selection is made again with each small change, to tell how far "
        "it moves: the steps take as long again twice for each number. Not before a "
        "`facility_location` of many rows.",
    )
    steps: tuple[Step, ...] = Field(min_length=1, description="In the order they are taken.")

    @model_validator(mode="after")
    def ends_with_a_rank(self) -> Self:
        """Check that the budget is spent once, at the end."""
        ranks = [isinstance(step, RankStep) for step in self.steps]
        if ranks.count(True) != 1 or not ranks[-1]:
            raise ValueError(
                "exactly one step ranks and has the budget, and it comes last; "
                f"got {', '.join(step.method for step in self.steps)}"
            )
        return self

    @property
    def filters(self) -> tuple[Filter, ...]:
        """All steps but the last."""
        return tuple(step for step in self.steps if isinstance(step, Filter))

    @property
    def rank(self) -> RankStep:
        """The last step."""
        last = self.steps[-1]
        assert isinstance(last, RankStep)
        return last


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One step: the rows it was given, what it made of them, and the scores by which it did."""

    label: str
    rows: Candidates
    outcome: Outcome
    scores: tuple[str, ...] = ()

    def heavy_losses(self) -> tuple[str, ...]:
        """Of which sources it took most of the rows."""
        return heavy_losses(self.label, self.rows.sources, self.outcome.reasons)

    def kept(self) -> Candidates:
        """The rows it has nothing against, in the order in which it was given them."""
        return self.rows.left_by(self.outcome)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the ranking step took of what the filters left."""

    chosen: Candidates
    """In the order picked."""
    steps: tuple[StepTaken, ...]
    """The recipe's own."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the ranking step has to say."""
        return self.steps[-1].outcome.notes


@dataclass(frozen=True, slots=True)
class StepsOutcome:
    """Where a selection came to."""

    held_out: Candidates
    eligible: Candidates
    """What the first filter was given, in the order of the ids: controls are drawn from it."""
    choice: Choice
    steps: tuple[StepTaken, ...]
    """All of them."""


def run_steps(
    rows: Candidates,
    settings: SelectSettings,
    vectors: Vectors,
    seed: int,
    licenses: LicenseSettings | None = None,
) -> StepsOutcome:
    """Take all steps of a selection, from the whole pool on, its rows in the order of their ids."""
    taken: list[StepTaken] = []
    if licenses is not None:  # first: what may not be used is not held out either
        taken.append(StepTaken("licences", rows, licenses.pick(rows)))
        rows = taken[-1].kept()
    taken.append(StepTaken("can be trained on", rows, drop_where(untrainable(rows))))
    rows = taken[-1].kept()
    if rows.rejected.any():
        taken.append(StepTaken(CHOSEN_OF_PAIRS, rows, drop_rejected(rows)))
        rows = taken[-1].kept()
    aside = held_out(rows, settings.held_out, seed)
    kept = drop_where(np.where(aside, HELD_OUT, "").astype(object))
    taken.append(StepTaken(NOT_HELD_OUT, rows, kept))
    eligible = taken[-1].kept()
    choice = choose_rows(eligible, settings, vectors, seed)
    return StepsOutcome(rows.where(aside), eligible, choice, (*taken, *choice.steps))


def choose_rows(rows: Candidates, settings: SelectSettings, vectors: Vectors, seed: int) -> Choice:
    """Take the recipe's own steps: the filters in their order, then the one that ranks."""
    taken: list[StepTaken] = []
    for step in settings.filters:
        taken.append(StepTaken(describe(step), rows, filter_rows(step, rows), step.scores()))
        rows = taken[-1].kept()
    rank = settings.rank
    outcome = allocate_budget(rank, rows, vectors, seed)
    taken.append(StepTaken(describe(rank), rows, outcome, deciding_scores(rank)))
    return Choice(rows.at(outcome.indices), tuple(taken))


def later_objections(
    rows: Candidates, settings: SelectSettings, licenses: LicenseSettings | None
) -> Reasons:
    """(n,) why a selection will drop each row, as far as its other rows make no difference.

    It is "" where nothing is known against a row: steps that compare rows are not asked.
    """
    found = untrainable(rows)
    found = np.where((found == "") & rows.rejected, "rejected_answer", found)
    if licenses is not None:
        refused = licenses.pick(rows).reasons
        found = np.where(refused == "", found, refused)
    for step in settings.filters:
        if step.by_row():
            outcome = filter_rows(step, rows)
            found = np.where(found == "", outcome.reasons, found)
            if outcome.turns is not None:
                rows = rows.without(outcome.turns.aside)
    return found


def untrainable(rows: Candidates) -> Reasons:
    """Why a row cannot be trained on: "" where it can."""
    states = rows.states
    ok = np.asarray(states == "ok", dtype=np.bool_)
    reasons = np.where(ok, "", states).astype(object)
    reasons[states == "not_applicable"] = "no_response"
    reasons[ok & (rows.loss_tokens < 1)] = "no_loss_tokens"  # a template may leave nothing of it
    return reasons


def drop_rejected(rows: Candidates) -> Outcome:
    """Drop the answers that pairs reject, each because of the one that is chosen there."""
    rejected = rows.rejected
    reasons = np.where(rejected, "rejected_answer", "").astype(object)
    missing = np.full(len(rows), np.nan)
    return account_for(np.flatnonzero(~rejected), reasons, missing, rows.chosen_instead())


def held_out(rows: Candidates, share: float, seed: int) -> NDArray[np.bool_]:
    """Mask (n,) of the rows whose prompt falls into the held-out share."""
    if not share:
        return np.zeros(len(rows), dtype=np.bool_)
    keys = random_keys(rows.column("prompt_id"), seed, "held out")
    return np.asarray(keys / 2.0**64 < share, dtype=np.bool_)  # keys are uniform below 2^64


def drop_where(reasons: Reasons) -> Outcome:
    """Pick the rows that have no reason against them."""
    return account_for(np.flatnonzero(reasons == ""), reasons, np.full(len(reasons), np.nan))


def filter_rows(step: Filter, rows: Candidates) -> Outcome:
    """Apply a filter; where the recipe says so, rows without the score pass it by."""
    if not isinstance(step, FilterStep) or step.unscored == "drop":
        return step.pick(rows)
    columns = [rows.score(name) for name in step.scores()]
    scored = np.flatnonzero(~np.isnan(columns).any(axis=0))  # columns: (scores, n)
    return spread(step.pick(rows.at(scored)), scored, no_reasons(len(rows)))


def describe(step: Filter | RankStep) -> str:
    """A step in one line, as its settings say it."""
    given = step.model_dump(exclude_defaults=True, exclude={"method"})
    if isinstance(step, RankStep) and step.shares:
        given["shares"] = step.shares
    if isinstance(step.ranked, Blend):
        given["score"] = step.ranked  # as it says itself, not as a dict; the shares above likewise
    budget = given.pop("budget", None)
    if budget:
        given |= budget
    shown = ", ".join(f"{name}={value}" for name, value in given.items())
    return f"{step.method}({shown})"
