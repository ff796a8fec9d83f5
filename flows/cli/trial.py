"""`sluice trial`: whether a choice trains better than random rows, by how much, and how sure."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import AsJson, Wait
from flows.cli.output import print_json, print_text
from flows.progress import say, spoken

if TYPE_CHECKING:
    from flows.begin_run import RunState
    from flows.prepare_trial import PreparedTrial, Questions
    from flows.price_trial import TrialCost
    from flows.recipe.trial import Trial

MORE_SEEDS = (2, 3, 5, 8, 10)
"""What the plan shows beside the looks that are planned."""


def trial(
    file: Annotated[
        Path, typer.Argument(help="The trial, a YAML file; or a recipe.", show_default=False)
    ],
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would cost and could see; train nothing.")
    ] = False,
    lds: Annotated[
        bool,
        typer.Option("--lds", help="Ask instead whether scores know anything about training."),
    ] = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Train on a choice and on its controls, and say whether it is better.

    A recipe is run up to its selection, and its choice compared with random rows of as many loss
    tokens. What was trained is not trained again; docs/trials.md has the file. With --lds random
    halves are trained, and each stored score is held against what came of them.
    """
    from flows.cli.run import RunOptions, run_until
    from flows.prepare_trial import prepare_trial, read_files
    from flows.price_trial import time_trial
    from flows.recipe.trial import load_trial

    wanted = load_trial(file)
    files = read_files(wanted)  # what is wrong with them is told before the recipe is run
    state = run_until(Path(wanted.recipe), "select", RunOptions(wait, "threads", None))
    if lds:
        relate(wanted, state, files, plan=plan, as_json=as_json)
        return
    prepared = prepare_trial(wanted, state, files)
    cost = time_trial(prepared)
    for line in trial_plan_lines(prepared, cost):
        say(f"trial: {line}")
    if plan:
        return
    from flows.compare_arms import compare_arms
    from pipeline.evidence.trial_markdown import trial_markdown

    result = compare_arms(prepared, cost.looks(prepared))
    if as_json:
        print_json(result)
    else:
        print_text(trial_markdown(result))


def relate(
    wanted: "Trial", state: "RunState", files: "Questions", *, plan: bool, as_json: bool
) -> None:
    """Train on random halves, and hold the scores against what came of them."""
    from flows.price_trial import time_trial
    from flows.relate_scores import name_scores, prepare_halves, relate_scores
    from pipeline.evidence.lds_markdown import lds_markdown

    prepared = prepare_halves(wanted, state, files)
    trainings = prepared.trained(wanted.lds.seeds)
    done = sum(each.done for each in trainings)
    seconds = time_trial(prepared).seconds(trainings)
    rows = len(next(iter(prepared.arms.values()))[0].rows.ids)
    say(
        f"trial: plan {prepared.plan_id}: {len(prepared.arms)} random halves of {rows:,} rows, "
        f"{wanted.lds.seeds} seeds: {len(trainings)} trainings, {done} of them done"
    )
    say(f"trial: scores {', '.join(name_scores(wanted, state)) or 'none'}, beside the loss tokens")
    say(f"trial: that takes {spoken(seconds)} on this machine")
    if plan:
        return
    result = relate_scores(prepared, seconds)
    if as_json:
        print_json(result)
    else:
        print_text(lds_markdown(result))


def trial_plan_lines(prepared: "PreparedTrial", cost: "TrialCost") -> list[str]:
    """What will be trained, what that takes, and what it can see."""
    wanted = prepared.trial
    seeds, rates = wanted.looks[-1], [each.learning_rate for each in prepared.trainings]
    trainings = prepared.trained(seeds)
    missing = [each for each in trainings if not each.done]
    lines = [
        f"plan {prepared.plan_id}: {', '.join(prepared.arms)} at rates "
        f"{', '.join(f'{each:g}' for each in rates)} with {seeds} seeds: {len(trainings)} "
        f"trainings, {len(trainings) - len(missing)} of them done",
    ]
    for name, draws in prepared.arms.items():
        tokens = [each.rows.tokens for each in draws]
        rows = [len(each.rows.ids) for each in draws]
        many = f", {len(draws)} draws" if len(draws) > 1 else ""
        lines.append(
            f"  {name}: {min(rows):,} to {max(rows):,} rows, {min(tokens):,} to {max(tokens):,} "
            f"loss tokens{many}"
        )
    for each in prepared.evaluations:
        out = sum(each.left_out.values())
        left = f", {out} rows left out" if out else ""
        lines.append(f"  by {each.name}: {len(each.items):,} items, {each.settings.metric}{left}")
    lines.append(f"that takes {spoken(cost.seconds(trainings))} on this machine")
    return [*lines, *power_lines(prepared, cost)]


def power_lines(prepared: "PreparedTrial", cost: "TrialCost") -> list[str]:
    """Seeds → smallest difference that is seen → time."""
    from flows.price_trial import find_spread

    wanted, primary = prepared.trial, prepared.trial.decides
    spread = find_spread(prepared)
    if spread is None:
        return [f"what it can see is not known before a first trial by {primary}"]
    level = wanted.level / max(1, len(prepared.arms) - 1)  # the strictest of Holm
    told = []
    for seeds in sorted({*MORE_SEEDS, *wanted.looks}):
        least = spread.smallest(seeds, level)
        seen = "no interval" if least is None else f"{least:.4f}"
        mark = " (planned)" if seeds in wanted.looks else ""
        told.append(
            f"  {seeds} seeds: {seen}, {spoken(cost.seconds(prepared.trained(seeds)))}{mark}"
        )
    how = "guessed, for there was no trial by these items yet" if spread.guessed else "as measured"
    head = f"smallest difference by {primary} that is seen four times in five ({how}), and time:"
    return [head, *told]
