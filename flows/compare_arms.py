"""The flow of a trial: every arm trained and measured, look by look, and what that came to.

Each training is one of fine_tune's, in the workspace's models/, and each item's value is stored: a
trial that was killed goes on with the same command, one with more seeds trains only those, and an
arm that another trial trained is not trained again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from fine_tune.cost import read_cost
from fine_tune.files import ADAPTER_FOLDER
from fine_tune.outcome import read_outcome
from fine_tune.report import read_train_report
from fine_tune.trained_model import load_trained_model
from flows.artifacts import show_trial
from flows.draw_arms import TrialError
from flows.fine_tune_export import train_export
from flows.prepare_trial import PlannedTraining, PreparedTrial, prepare_trial, read_files
from flows.progress import say
from flows.recipe.check import load_recipe
from flows.recipe.trial import CHOICE, load_trial
from flows.record_training import write_outcome
from flows.run_names import name_trial
from pipeline.evidence.trial_markdown import trial_markdown, verdict_line
from pipeline.run_context import RunContext
from pipeline.trials.evaluations import TrialItems, measure_items
from pipeline.trials.leaks import Leaks, find_leaks
from pipeline.trials.looks import look_levels
from pipeline.trials.outcome import Design, TrialValues, as_facts, judge_trial, tabulate
from pipeline.trials.power import spread_of
from pipeline.trials.samples import find_samples, place_of_samples, read_logged_samples
from pipeline.trials.verdicts import ArmVerdict
from scorers.measures.models.devices import borrowed_device
from scorers.measures.models.loading import resolve_model
from storage.database import Connection, open_workspace, read_workspace
from storage.measurements import read_shards
from storage.trial_items import (
    ItemValues,
    read_evaluated,
    write_items,
    write_plan,
    write_result,
)

TrialFacts = dict[str, Any]

DECIDED = ("better", "worse", "no difference larger than", "at floor")


@task(task_run_name="measure {name}", cache_policy=NO_CACHE, persist_result=False)
def measure_training(
    name: str, base: Path, folder: Path | None, evaluations: Sequence[TrialItems]
) -> list[list[ItemValues]]:
    """What a training made of the items of some evaluations."""
    with borrowed_device():
        model = load_trained_model(base, folder)
        return [measure_items(model, each) for each in evaluations]


@flow(name="trial", flow_run_name=name_trial, persist_result=False)
def compare_arms(prepared: PreparedTrial, predicted: Sequence[float]) -> TrialFacts:
    """Train and measure every arm, look by look, until all are decided or no look is left.

    Args:
        prepared: what prepare_trial found to be sound.
        predicted: (looks,) seconds of all that is missing now, up to each look.
    """
    trial, run = prepared.trial, prepared.state.run
    levels = look_levels(trial.looks, trial.level)
    with open_workspace(run.workspace) as con:
        replicates = prepared.replicates(trial.looks[-1])
        changed = write_plan(con, run.run_id, prepared.plan, replicates)
        arms = {
            name: {i for d in drawn for i in d.rows.ids} for name, drawn in prepared.arms.items()
        }
        leaks = find_leaks(con, prepared.evaluations, arms)
    say(f"trial: plan {prepared.plan_id} is written down")
    spent = 0.0
    for at, (seeds, level) in enumerate(zip(trial.looks, levels, strict=True), start=1):
        spent += carry_out(prepared, seeds)
        design = Design(trial.against, trial.decides, trial.smallest_effect, level)
        result = conclude(prepared, seeds, design, leaks)
        why = why_stop(result, trial.looks, levels[-1])
        last = at == len(trial.looks)
        result |= {
            "changed_after": changed,
            "looks": {"planned": trial.looks, "at": at, "why": why or "another look is planned"},
            "predicted_seconds": predicted[at - 1],
            "real_seconds": spent,
        }
        if why or last:
            break
        say(f"trial: look {at} of {len(trial.looks)}: not all is decided, on to the next")
    with open_workspace(run.workspace) as con:
        write_result(con, prepared.plan_id, result)
    name = prepared.state.recipe.name
    show_trial(name, run.run_id, trial_markdown(result), verdict_line(result))
    return result


def carry_out(prepared: PreparedTrial, seeds: int) -> float:
    """Train and measure what is missing up to a look; seconds of what was done now."""
    trained = prepared.trained(seeds)
    spent = measure_missing(prepared, prepared.fingerprint[:16], "the untrained model", None)
    for number, each in enumerate(trained, start=1):
        made = each.replicate
        name = f"{made.arm}, rate {made.learning_rate:g}, seed {made.seed}"
        say(f"trial: {number} of {len(trained)}: {name}")
        spent += train_one(prepared, each)
        spent += measure_missing(prepared, made.replicate_id, name, each.folder)
    folders = {made.replicate.replicate_id: made.folder for made in trained}
    take_samples(prepared, {prepared.fingerprint[:16]: None, **folders})
    return spent


def take_samples(prepared: PreparedTrial, folders: Mapping[str, Path | None]) -> None:
    """Store what another harness found of each training; the folder is None of the untrained one.

    Raises:
        TrialError: if it has not looked at some of them yet; the message has how.
    """
    workspace = prepared.state.run.workspace
    lacking = []
    for evaluation in prepared.evaluations:
        for training, folder in folders.items() if evaluation.settings.samples else ():
            with read_workspace(workspace) as con:
                if evaluation.evaluation_id in read_evaluated(con, training):
                    continue
            file = find_samples(evaluation.settings, training)
            if file is None:
                peft = "" if folder is None else f",peft={folder / ADAPTER_FOLDER}"
                wanted = place_of_samples(evaluation.settings, training)
                lacking.append(f"{wanted} of pretrained=BASE{peft}")
                continue
            values = read_logged_samples(evaluation, file)
            with open_workspace(workspace) as con:
                write_items(con, training, evaluation.evaluation_id, [values])
    if lacking:
        base = resolve_model(prepared.state.placed.target).path
        told = "\n  ".join(lacking)
        raise TrialError(
            f"all is trained, and {len(lacking)} files of samples are not there yet. Run "
            "lm-evaluation-harness for each, with --log_samples and --output_path, and then this "
            f"command again (docs/trials.md has an example). BASE is {base}:\n  {told}"
        )


def train_one(prepared: PreparedTrial, planned: PlannedTraining) -> float:
    """Train, or find that it was done, and write that down; seconds of what was done now."""
    done, target = planned.done, prepared.state.placed.target
    if not done:
        train_export(planned.export, target, planned.folder, planned.settings)
    directory = prepared.state.run.workspace.directory
    outcome = read_outcome(planned.folder, directory)
    assert outcome is not None
    with open_workspace(prepared.state.run.workspace) as con:
        write_outcome(con, outcome)
    return 0.0 if done or outcome.cost is None else outcome.cost.seconds


def measure_missing(
    prepared: PreparedTrial, replicate_id: str, name: str, folder: Path | None
) -> float:
    """Measure a training by the evaluations that are not stored of it; seconds of that."""
    workspace = prepared.state.run.workspace
    with read_workspace(workspace) as con:
        stored = read_evaluated(con, replicate_id)
    missing = [each for each in prepared.measured if each.evaluation_id not in stored]
    if not missing:
        return 0.0
    began = time.monotonic()
    base = resolve_model(prepared.state.placed.target).path
    found = measure_training(name, base, folder, missing)
    with open_workspace(workspace) as con:
        for evaluation, values in zip(missing, found, strict=True):
            write_items(con, replicate_id, evaluation.evaluation_id, values)
    return time.monotonic() - began


def conclude(prepared: PreparedTrial, seeds: int, design: Design, leaks: Leaks) -> TrialFacts:
    """All numbers of a look, from what is stored."""
    with read_workspace(prepared.state.run.workspace) as con:
        values = TrialValues(con, prepared.replicates(seeds))
        tables = tabulate(values, prepared.evaluations, leaks, design)
        (primary,) = (each for each in prepared.evaluations if each.name == design.primary)
        leaked = set().union(*(found[primary.name] for found in leaks.values()))
        verdicts = judge_trial(values, primary, set(), design)
        clean: Mapping[str, ArmVerdict] = {}
        if any(each.unleaked_rows for each in tables if each.evaluation == primary.name):
            clean = judge_trial(values, primary, leaked, design)
        choose = measuring_seconds(con, prepared.state.run)
    arms = arm_facts(prepared, seeds, leaks)
    row_seconds = arms[design.against]["row_seconds"]
    return {
        "plan_id": prepared.plan_id,
        "run_id": prepared.state.run.run_id,
        "against": design.against,
        "primary": design.primary,
        "smallest": design.smallest,
        "level": design.level,
        "seeds": seeds,
        "rates": values.rates,
        "verdicts": {name: verdict_facts(each) for name, each in verdicts.items()},
        "unleaked_verdicts": {name: verdict_facts(each) for name, each in clean.items()},
        "arms": arms,
        "chosen_arms": [n for n, arm in prepared.trial.arms.items() if arm.selection == CHOICE],
        "tables": as_facts(tables),
        "choose_seconds": choose,
        "extra_rows": rows_trained_instead(choose, row_seconds),
        "left_out": {each.name: dict(each.left_out) for each in prepared.evaluations},
    }


def measuring_seconds(con: Connection, run: RunContext) -> float:
    """Seconds that the measures of a run took; token counts are taken for any choice."""
    keys = [key for name, key in run.measures.items() if name != "token_counts"]
    return sum(seconds for key in keys for _, seconds in read_shards(con, key))


def rows_trained_instead(seconds: float, row_seconds: float) -> int | None:
    """How many more random rows that time would have trained; None where none was timed."""
    return int(seconds / row_seconds) if row_seconds else None


def verdict_facts(verdict: ArmVerdict) -> dict[str, Any]:
    """A verdict as JSON has it."""
    return {**asdict(verdict), "said": verdict.said}


def arm_facts(prepared: PreparedTrial, seeds: int, leaks: Leaks) -> dict[str, dict[str, Any]]:
    """What each arm was trained on, and what one training of it cost."""
    trained = prepared.trained(seeds)
    facts: dict[str, dict[str, Any]] = {}
    for name, draws in prepared.arms.items():
        own = [each for each in trained if each.replicate.arm == name]
        reports = [report for each in own if (report := read_train_report(each.folder))]
        costs = [cost for each in own if (cost := read_cost(each.folder))]
        seconds, rows = sum(each.seconds for each in costs), sum(each.rows for each in costs)
        facts[name] = {
            "rows": sorted({len(each.rows.ids) for each in draws}),
            "loss_tokens": sorted({each.rows.tokens for each in draws}),
            "steps": sorted({each.steps for each in reports}),
            "trainings": len(own),
            "train_seconds": seconds / len(costs) if costs else 0.0,
            "row_seconds": seconds / rows if rows else 0.0,
            "leaked_items": {each: len(items) for each, items in leaks[name].items()},
        }
    for name in prepared.untrained:
        empty: dict[str, Any] = {"rows": [], "loss_tokens": [], "steps": [], "trainings": 0}
        facts[name] = {**empty, "train_seconds": 0.0, "row_seconds": 0.0, "leaked_items": {}}
    return facts


def why_stop(result: TrialFacts, looks: Sequence[int], level: float) -> str | None:
    """Why no further look is taken; None where one is.

    Args:
        result: of a look.
        looks: seeds of all that are planned.
        level: of the last of them.
    """
    verdicts = result["verdicts"]
    undecided = [name for name, each in verdicts.items() if each["word"] not in DECIDED]
    if not undecided:
        return "every arm is decided"
    least = [
        found.smallest(looks[-1], level / len(verdicts))
        for table in result["tables"]
        if table["evaluation"] == result["primary"]
        for row in table["rows"]
        if row["arm"] in undecided
        and (found := spread_of(row, table["clusters"], result["seeds"])) is not None
    ]
    if least and all(each is not None and each > result["smallest"] for each in least):
        best = min(each for each in least if each is not None)
        return (
            f"stopped, for even at {looks[-1]} seeds only differences of {best:.2g} and more would "
            f"be seen, and {result['smallest']:g} was asked for"
        )
    return None


@flow(name="trial-file", flow_run_name=name_trial, persist_result=False)
def compare_file(trial_file: str) -> None:
    """Carry out the file of a trial: what a deployment is given.

    Args:
        trial_file: path of the trial, or of a recipe, on the worker.
    """
    from flows.curate_dataset import curate
    from flows.price_trial import time_trial

    trial = load_trial(Path(trial_file))
    files, path = read_files(trial), Path(trial.recipe)
    state = curate(load_recipe(path), str(path.parent), "select", True).unquote()
    prepared = prepare_trial(trial, state, files)
    compare_arms.fn(prepared, time_trial(prepared).looks(prepared))
