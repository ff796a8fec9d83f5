"""Select stage: the pool → an ordered selection, its held-out rows and its two controls.

Rows leave in steps, each with its reason: those that cannot be trained on, those held out, those
that a filter of the recipe drops, and at last those that the budget has no room for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.candidates import Candidates, count_step, decide, read_candidates, read_vectors
from pipeline.run_context import RunContext
from pipeline.selection.budget import Budget
from pipeline.selection.length_matched import select_length_matched
from pipeline.selection.licenses import LicenseSettings, select_licensed
from pipeline.selection.picked import Picked, account_for, no_causes, no_reasons
from pipeline.selection.random import random_keys, select_random
from pipeline.selection.steps import BudgetSettings, FilterStep, PassStep, RankStep, Step
from pipeline.settings import Settings
from storage.database import Connection, open_workspace
from storage.licenses import read_licenses
from storage.runs import write_step
from storage.selections import write_selection

HELD_OUT = "held_out"

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


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a run selected."""

    selection_id: str
    rows: int
    loss_tokens: int
    unspent: str
    """What of the budget was not spent, and why; "" where it was."""


def select_examples(
    run: RunContext,
    settings: SelectSettings,
    pool: Sequence[str],
    licenses: LicenseSettings | None = None,
) -> Chosen:
    """Select from the pool; store every decision, the selection, and its controls.

    Args:
        run: the run that selects.
        settings: the recipe's steps.
        pool: example ids that deduplication left.
        licenses: which may be chosen; None for any.
    """
    with open_workspace(run.workspace) as con:
        books = Books(con, run)
        rows = read_candidates(con, run, pool)
        if licenses is not None:
            rows = keep_licensed(books, rows, licenses)
        rows = books.narrow(rows, "can be trained on", drop_where(untrainable(rows)), None)
        aside = held_out(rows, settings.held_out, run.seed)
        test, reasons = rows.where(aside), np.where(aside, HELD_OUT, "").astype(object)
        eligible = rows = books.narrow(rows, "not held out", drop_where(reasons), None)
        for step in settings.steps[:-1]:
            assert isinstance(step, PassStep)
            score = getattr(step, "score", None)
            rows = books.narrow(rows, describe(step), filter_rows(step, rows), score)
        rank = settings.steps[-1]
        assert isinstance(rank, RankStep)
        picked = rank.pick(rows, partial(read_vectors, con, run), run.seed)
        books.record(rows, describe(rank), picked, getattr(rank, "score", None))

        chosen = rows.at(picked.indices)
        selection_id = write(con, run, ("choice", settings.name, None), chosen)
        write(con, run, ("held_out", f"{settings.name}-held-out", selection_id), test)
        write_controls(con, run, (settings.name, selection_id), eligible, chosen)
    tokens = int(chosen.loss_tokens.sum())
    return Chosen(selection_id, len(chosen.ids), tokens, unspent(rank.budget, rows, chosen))


class Books:
    """Writes down what each step decided, in order."""

    def __init__(self, con: Connection, run: RunContext) -> None:
        self.con, self.run, self.step = con, run, 0

    def record(
        self,
        rows: Candidates,
        label: str,
        picked: Picked,
        score: str | None,
        notes: Sequence[str] = (),
    ) -> None:
        """Store the decisions of one step."""
        self.step += 1
        states = rows.score_states[score] if score else None
        decisions = decide(rows, picked, states)
        count = replace(count_step("select", self.step, label, decisions), notes=tuple(notes))
        write_step(self.con, self.run.run_id, count, decisions)

    def narrow(self, rows: Candidates, label: str, picked: Picked, score: str | None) -> Candidates:
        """Store the decisions of one step and pass on the rows it kept."""
        self.record(rows, label, picked, score)
        return rows.where(picked.reasons == "")


def keep_licensed(books: Books, rows: Candidates, settings: LicenseSettings) -> Candidates:
    """Pass on the rows of allowed licences, or all of them where that is only to be reported."""
    ids = [str(example_id) for example_id in rows.ids]
    found = read_licenses(books.con, ids, books.run.source_ids)
    picked = select_licensed([found.get(i, ()) for i in ids], rows.ids, settings)
    out = int((picked.reasons != "").sum())
    notes = [f"{out} rows have no licence among {', '.join(settings.allowed)}"]
    if settings.action == "report":
        picked = drop_where(no_reasons(len(ids)))
    books.record(rows, "licences", picked, None, notes)
    return rows.where(picked.reasons == "")


def untrainable(rows: Candidates) -> Reasons:
    """Why a row cannot be trained on: "" where it can."""
    reasons = np.where(rows.states == "ok", "", rows.states).astype(object)
    reasons[rows.states == "not_applicable"] = "no_response"
    reasons[(rows.states == "ok") & (rows.loss_tokens < 1)] = "no_loss_tokens"
    return reasons


def held_out(rows: Candidates, share: float, seed: int) -> NDArray[np.bool_]:
    """Mask (n,) of the rows whose prompt falls into the held-out share."""
    keys = random_keys(rows.column("prompt_id"), seed, "held out")
    return np.asarray(keys / 2.0**64 < share, dtype=np.bool_)


def drop_where(reasons: Reasons) -> Picked:
    """Pick the rows that have no reason against them."""
    return account_for(np.flatnonzero(reasons == ""), reasons, np.full(len(reasons), np.nan))


def filter_rows(step: PassStep, rows: Candidates) -> Picked:
    """Apply a filter; where the recipe says so, rows without the score pass it by."""
    if not isinstance(step, FilterStep) or step.unscored == "drop":
        return step.pick(rows)
    scored = np.flatnonzero(~np.isnan(rows.scores[step.score]))
    picked = step.pick(rows.at(scored))
    reasons = no_reasons(len(rows.ids))
    reasons[scored] = picked.reasons
    causes = no_causes(len(rows.ids))
    causes[scored] = np.where(picked.because_of < 0, -1, scored[picked.because_of])
    scores = rows.scores[step.score]
    return account_for(np.flatnonzero(reasons == ""), reasons, scores, causes)


def describe(step: PassStep | RankStep) -> str:
    """A step in one line, as its settings say it."""
    given = step.model_dump(exclude_defaults=True, exclude={"method"})
    budget = given.pop("budget", None)
    if budget:
        given |= budget
    shown = ", ".join(f"{name}={value}" for name, value in given.items())
    return f"{step.method}({shown})"


def write(
    con: Connection, run: RunContext, named: tuple[str, str, str | None], rows: Candidates
) -> str:
    """Store rows as a selection, in their order; `named` is its kind, name and parent."""
    kind, name, parent = named
    ids = [str(i) for i in rows.ids]
    tokens = int(rows.loss_tokens.sum())
    return write_selection(con, run.run_id, kind, parent, (name, ids, [1.0] * len(ids), tokens))


def write_controls(
    con: Connection, run: RunContext, parent: tuple[str, str], pool: Candidates, chosen: Candidates
) -> None:
    """Draw as many rows at random, and as many of the same lengths, from all that was eligible."""
    name, selection_id = parent
    random = select_random(pool.ids, Budget(rows=len(chosen.ids)), None, run.seed)
    places = {example_id: place for place, example_id in enumerate(pool.ids)}
    selected = np.array([places[example_id] for example_id in chosen.ids], dtype=np.int64)
    matched = select_length_matched(selected, pool.loss_tokens, pool.ids, run.seed)
    for kind, picked in (("random", random), ("length_matched", matched)):
        write(con, run, (kind, f"{name}-{kind}", selection_id), pool.at(picked.indices))


def unspent(budget: BudgetSettings, rows: Candidates, chosen: Candidates) -> str:
    """Say so where the pool had less than the budget."""
    if len(chosen.ids) == len(rows.ids) and not budget.fraction:
        tokens = int(chosen.loss_tokens.sum())
        if budget.rows and budget.rows > len(rows.ids):
            return (
                f"the budget is {budget.rows} rows, and only {len(rows.ids)} were left: all taken"
            )
        if budget.loss_tokens and budget.loss_tokens > tokens:
            return f"the budget is {budget.loss_tokens} loss tokens, the rows left had {tokens}"
    return ""
