"""The flow of `sluice trial --lds`: trainings on random halves, and which scores know of them.

Halves are arms of a trial like all others: exported, trained, measured and stored in the same way,
so that a run that was killed goes on, and what was trained is not trained again.
"""

from typing import Any

import numpy as np
from prefect import flow

from flows.begin_run import RunState
from flows.compare_arms import carry_out
from flows.draw_arms import TrialError, store_arm
from flows.prepare_trial import PreparedTrial, Questions, render_all, single_only
from flows.progress import say
from flows.recipe.trial import Trial
from flows.run_names import name_trial
from pipeline.ranking.order import sort_rows
from pipeline.selection.candidates import Candidates
from pipeline.selection.eligible import read_eligible
from pipeline.selection.methods.random import random_keys
from pipeline.trials.arms import ArmRows
from pipeline.trials.datamodel import agree, highest_agreement
from pipeline.trials.outcome import HIGHER_IS_BETTER, TrialValues, metrics_of
from scorers import SCORERS
from scorers.arrays import Floats, Ints
from scorers.measures.models.loading import resolve_model
from scorers.names import did_you_mean
from storage.database import open_workspace, read_workspace
from storage.trial_items import write_plan, write_result

LENGTH = "loss tokens"
"""What stands beside the scores: longer halves train more, whatever else a score knows."""

LEAST_ROWS = 40


def name_scores(trial: Trial, state: RunState) -> list[str]:
    """The scores that are looked at: those named, or all of the recipe that rank rows.

    Raises:
        TrialError: if one is not the recipe's, or is a label.
    """
    ranking = [label for label, key in state.run.scores.items() if SCORERS[key[0]].unit != "label"]
    for name in trial.lds.scores:
        if name not in ranking:
            raise TrialError(
                f"lds.scores: {name!r} ranks no rows of this recipe. {did_you_mean(name, ranking)}"
            )
    return list(trial.lds.scores or ranking)


def lds_rows(rows: Candidates, trial: Trial, scores: list[str], seed: int) -> Candidates:
    """The rows that halves are drawn of: those with every score, or a seeded part of them."""
    known = np.ones(len(rows), dtype=np.bool_)
    for name in scores:
        known &= np.isfinite(rows.score(name))
    found = rows.where(known)
    order = sort_rows(random_keys(found.ids, seed, "lds"), found.ids)
    return found.at(np.sort(order[: trial.lds.rows]))


def half_of(rows: Candidates, number: int, seed: int) -> Ints:
    """(n // 2,) places of the rows of one half, in the order in which they are trained."""
    keys = random_keys(rows.ids, seed, f"lds half {number}")
    order: Ints = sort_rows(keys, rows.ids)[: len(rows) // 2]
    return order


def prepare_halves(trial: Trial, state: RunState, files: Questions) -> PreparedTrial:
    """Draw and export every half, and render every item.

    Raises:
        TrialError: if there are too few rows, or the recipe's training is no single one.
        UnreadableSourceError: if an evaluation has no items.
    """
    own = trial.train or state.recipe.train
    rates = trial.learning_rates[:1] or ((own.learning_rate,) if own else ())
    one = trial.model_copy(
        update={"arms": {}, "looks": (trial.lds.seeds,), "learning_rates": rates}
    )
    trainings = one.trainings(state.recipe.train)[-1:]
    if single_only(trainings[0]):
        raise TrialError(
            "the recipe trains in stages, as a soup or on a mix: give the trial a train block"
        )
    evaluations, scores = render_all(trial, state, files), name_scores(trial, state)
    with read_workspace(state.run.workspace) as con:
        eligible = read_eligible(con, state.run)
        rows = lds_rows(eligible, trial, scores, state.run.seed)
        if len(rows) < LEAST_ROWS:
            raise TrialError(
                f"{len(rows)} of {len(eligible)} rows have every score, and halves are drawn of "
                f"{LEAST_ROWS} or more: name fewer scores in lds.scores, or give the recipe more "
                "rows"
            )
        halves = [half_of(rows, n, state.run.seed) for n in range(1, trial.lds.halves + 1)]
        drawn = [ArmRows(rows.ids[at].tolist(), rows.loss_tokens[at]) for at in halves]
    arms = {
        f"half {number}": [store_arm(state, f"half-{number}", each, {})]
        for number, each in enumerate(drawn, start=1)
    }
    fingerprint = resolve_model(state.placed.target).fingerprint
    return PreparedTrial(one, state, trainings, arms, evaluations, fingerprint)


@flow(name="lds", flow_run_name=name_trial, persist_result=False)
def relate_scores(prepared: PreparedTrial, predicted: float) -> dict[str, Any]:
    """Train and measure every half, and say how far each score agrees with what came of it.

    Args:
        prepared: what prepare_halves found to be sound.
        predicted: seconds of all that is missing now.
    """
    run, seeds = prepared.state.run, prepared.trial.lds.seeds
    with open_workspace(run.workspace) as con:
        write_plan(con, run.run_id, prepared.plan, prepared.replicates(seeds))
    say(f"trial: plan {prepared.plan_id} is written down")
    spent = carry_out(prepared, seeds)
    sums = sum_scores(prepared)
    tables = []
    with read_workspace(run.workspace) as con:
        values = TrialValues(con, prepared.replicates(seeds))
        for evaluation in prepared.evaluations:
            metric = metrics_of(evaluation)[0]
            sign = 1 if metric in HIGHER_IS_BETTER else -1
            found = values.read(evaluation.evaluation_id, metric)
            means = np.array([found[key].seed_means() for key in half_keys(prepared)]).T
            agreements = [
                agree(name, evaluation.name, of_half, sign * means.mean(axis=0))
                for name, of_half in sums.items()
            ]
            tables.append(
                {
                    "evaluation": evaluation.name,
                    "metric": metric,
                    "items": len(evaluation.items),
                    "highest": highest_agreement(means),
                    "scores": [
                        {"score": each.score, "lds": each.lds, "interval": each.interval}
                        | {"said": each.said}
                        for each in agreements
                    ],
                }
            )
    rows = next(iter(prepared.arms.values()))[0].rows
    result = {
        "plan_id": prepared.plan_id,
        "run_id": run.run_id,
        "halves": len(prepared.arms),
        "rows": len(rows.ids),
        "seeds": seeds,
        "learning_rate": prepared.trainings[0].learning_rate,
        "tables": tables,
        "predicted_seconds": predicted,
        "real_seconds": spent,
    }
    with open_workspace(run.workspace) as con:
        write_result(con, prepared.plan_id, result)
    return result


def half_keys(prepared: PreparedTrial) -> list[tuple[str, float | None]]:
    """What the values of each half are read by, in the order of the halves."""
    return [(name, prepared.trainings[0].learning_rate) for name in prepared.arms]


def sum_scores(prepared: PreparedTrial) -> dict[str, Floats]:
    """Score → (halves,) its sum over each half; the last are the loss tokens."""
    state, halves = prepared.state, [drawn[0].rows for drawn in prepared.arms.values()]
    sums: dict[str, Floats] = {}
    with read_workspace(state.run.workspace) as con:
        eligible = read_eligible(con, state.run)
        place_of = {each: place for place, each in enumerate(eligible.ids.tolist())}
        for name in name_scores(prepared.trial, state):
            values = eligible.score(name)
            sums[name] = np.array([sum(values[place_of[i]] for i in half.ids) for half in halves])
    return {**sums, LENGTH: np.array([float(half.tokens) for half in halves])}
