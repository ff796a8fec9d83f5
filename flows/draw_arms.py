"""The rows of every arm of a trial: drawn, cut to the budget, stored, and written to be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from flows.begin_run import RunState
from flows.recipe.trial import CHOICE, Trial
from pipeline.export.stage import ArmExport, export_arm, read_turn_counts
from pipeline.ranking.budget import Budget
from pipeline.run_context import RunContext
from pipeline.selection.candidates import Candidates
from pipeline.selection.eligible import read_eligible
from pipeline.trials.arms import ArmRows, draw_control, require_enough
from pipeline.trials.settings import DRAWN, ArmSettings
from storage.database import Connection, open_workspace
from storage.examples import read_trained_at
from storage.selections import (
    PickedRows,
    find_selection,
    read_run_selections,
    read_selected_turns,
    read_selection,
    write_arm,
)


class TrialError(ValueError):
    """A trial cannot be made of what there is; the message says what to change."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """Rows of an arm as they are stored and exported."""

    selection_id: str
    rows: ArmRows
    export: Path
    export_id: str


KeptTurns = Mapping[str, Sequence[int]]


def draw_arms(
    con: Connection, trial: Trial, state: RunState
) -> dict[str, list[tuple[ArmRows, KeptTurns]]]:
    """The rows of every trained arm, of each of its draws, and which turns of them are trained."""
    run, eligible = state.run, read_eligible(con, state.run)
    given = {name: arm for name, arm in trial.arms.items() if arm.selection is not None}
    chosen = {name: selected_rows(con, run, arm) for name, arm in given.items()}
    choice, _ = selected_rows(con, run, ArmSettings(selection=CHOICE))
    block = trial.budget
    budget = block.budget() if block else Budget(loss_tokens=choice.tokens)
    drawn: dict[str, list[tuple[ArmRows, KeptTurns]]] = {}
    for name, arm in trial.arms.items():
        if arm.selection is not None:
            rows, turns = chosen[name]
            draws = [(rows.within(budget), turns)]
        elif arm.control is not None and arm.trained:
            count = (arm.draws or trial.looks[-1]) if arm.control in DRAWN else 1
            draws = [
                (draw_one(arm, eligible, choice.within(budget), budget, state.run.seed + at), {})
                for at in range(count)
            ]
        else:
            continue
        for rows, _ in draws if arm.control != "pool" else ():
            require_budget(name, rows, budget, int(eligible.loss_tokens.max()))
        drawn[name] = draws
    return drawn


def draw_one(
    arm: ArmSettings, eligible: Candidates, choice: ArmRows, budget: Budget, seed: int
) -> ArmRows:
    """One draw of a control."""
    assert arm.control is not None
    try:
        return draw_control(arm.control, eligible, choice, budget, seed)
    except ValueError as error:
        raise TrialError(str(error)) from None


def require_budget(name: str, rows: ArmRows, budget: Budget, longest: int) -> None:
    """See that an arm spends its budget."""
    try:
        require_enough(name, rows, budget, longest)
    except ValueError as error:
        raise TrialError(str(error)) from None


def selected_rows(con: Connection, run: RunContext, arm: ArmSettings) -> tuple[ArmRows, KeptTurns]:
    """The rows of a stored selection with their trained tokens, and which turns are trained."""
    assert arm.selection is not None
    if arm.selection == CHOICE:
        selection_id = read_run_selections(con, run.run_id)[CHOICE].selection_id
    else:
        selection_id = find_selection(con, arm.selection)
    ids, _ = read_selection(con, selection_id)
    turns = read_selected_turns(con, selection_id)
    counts = read_turn_counts(con, run.measures["token_counts"], ids)
    tokens = []
    for example_id, trained_at, each in zip(ids, read_trained_at(con, ids), counts, strict=True):
        kept = turns.get(example_id, trained_at)
        tokens.append(
            sum(loss for at, (_, loss) in zip(trained_at, each, strict=True) if at in kept)
        )
    if min(tokens, default=0) < 1:
        raise TrialError(
            f"selection {arm.selection} has rows whose tokens this recipe did not count: compare "
            "selections of one workspace and target"
        )
    return ArmRows(ids, np.array(tokens, dtype=np.int64)), turns


def store_arm(state: RunState, name: str, rows: ArmRows, turns: KeptTurns) -> DrawnRows:
    """Store the rows of an arm, and write them for the trainer."""
    run, recipe = state.run, state.recipe
    called = f"{recipe.select.name}-{name}"
    kept = {each: turns[each] for each in rows.ids if each in turns}
    with open_workspace(run.workspace) as con:
        parent = read_run_selections(con, run.run_id)[CHOICE].selection_id
        picked = PickedRows(called, rows.ids, rows.tokens, "arm", parent, kept)
        selection_id = write_arm(con, picked)
    arm = ArmExport(called, selection_id, parent, rows.tokens, recipe.export.scores)
    reference = str(recipe.stored()["measure"]["tokens"]["model"])
    exported = export_arm(run, state.placed.measure.tokens, reference, arm)
    return DrawnRows(selection_id, rows, exported.path, exported.manifest.export_id)
