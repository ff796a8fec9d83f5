"""`sluice mixture EXPORT --add NAME`: which exports to train beside a task's own, by training."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fine_tune.mixed_export import MixedExport
from flows.cli.output import as_lines, print_json, print_table, print_text
from flows.progress import say, spoken

if TYPE_CHECKING:
    from flows.train_mixtures import FoundMixture, Mixtures


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a mixture is searched for."""

    seeds: int
    """Trainings of each mixture."""
    steps: int | None
    """Of each training; None: those of the export alone."""
    at_most: int | None
    """Mixtures that may be trained."""
    plan: bool
    """Say what it would cost, and train nothing."""


def read_added(given: str) -> MixedExport:
    """An export that can be added: NAME, or NAME=SHARE of its rows.

    Raises:
        BadParameter: if the share is none.
    """
    name, _, share = given.rpartition("=") if "=" in given else (given, "", "1")
    try:
        return MixedExport(export=name, share=float(share))
    except ValueError:
        raise typer.BadParameter(
            f"--add {given}: expected NAME or NAME=SHARE, the share above 0 and at most 1"
        ) from None


def find_mixture(export: Path, added: list[str], options: SearchOptions, as_json: bool) -> None:
    """Train on mixtures, and say which is better than the task alone; exit with 1 if none is."""
    from flows.train_mixtures import plan_mixtures, train_mixtures

    mixed = [read_added(each) for each in added]
    plan = plan_mixtures(export, mixed, options.seeds, options.steps)
    for line in plan_lines(plan, options.at_most):
        say(f"mixture: {line}")
    if options.plan:
        return
    from flows.temporary_server import tie_temporary_server

    tie_temporary_server()
    found = train_mixtures(plan, options.at_most)
    if as_json:
        print_json(found_facts(plan, found))
    else:
        columns = ["mixture", "held-out loss", "by seed", "lower than alone by"]
        print_table(columns, tried_rows(found))
        print_text(as_lines(found_lines(plan, found)))
    if found.gain is None or found.gain.verdict != "better":
        raise typer.Exit(1)


def plan_lines(plan: "Mixtures", at_most: int | None) -> list[str]:
    """What a search will train, and how long that takes here."""
    from flows.train_mixtures import time_one

    one = time_one(plan)
    fewest, most = plan.count_trainings()
    if at_most is not None:
        most = min(most, (at_most + 2) * plan.seeds)
        fewest = min(fewest, most)
    hours = " to ".join(dict.fromkeys(spoken(count * one.seconds) for count in (fewest, most)))
    return [
        f"{fewest} to {most} trainings of {one.steps} steps: each mixture of own with "
        f"{', '.join(plan.names)} with {plan.seeds} seeds, and the best once more beside own alone",
        f"a training takes about {spoken(one.seconds)} and {one.peak_bytes / 2**30:.1f} GiB on "
        f"this machine, all of them {hours}; what was trained before is not trained again",
    ]


def tried_rows(found: "FoundMixture") -> list[tuple[object, ...]]:
    """Lines of the table, the lowest loss first."""
    from flows.train_mixtures import called

    alone = found.search.tried[0].mean
    return [
        (
            called(each.added),
            f"{each.mean:.4f}",
            ", ".join(f"{loss:.4f}" for loss in each.losses),
            f"{alone - each.mean:+.4f}" if each.added else None,
        )
        for each in sorted(found.search.tried, key=lambda each: each.mean)
    ]


def found_lines(plan: "Mixtures", found: "FoundMixture") -> list[str]:
    """What the search came to, and how far it can be trusted."""
    from flows.train_mixtures import called

    lines = []
    if found.search.stopped:
        lines.append("more mixtures could have been tried: --at-most ended the search")
    gain = found.gain
    if gain is None:
        return [*lines, "no mixture was better than own alone: nothing is recommended"]
    alone, mixed = (sum(losses) / len(losses) for losses in (found.alone, found.mixed))
    best = called(found.search.best.added)
    if gain.interval is None:
        told = "one seed: no interval, give --seeds 3 to know more"
    else:
        low, high = gain.interval
        told = f"95 % interval over seeds {low:+.4f} to {high:+.4f}: {gain.verdict}"
    lines += [
        f"with seeds that chose nothing: {best} {mixed:.4f}, own alone {alone:.4f}, lower by "
        f"{gain.mean:+.4f} ({told})",
        "all trainings took as many steps; the held-out rows chose the mixture and no longer "
        "measure it: keep others aside",
    ]
    if gain.verdict == "better":
        lines.append(f"in the recipe: {mix_line(plan, found.search.best.added)}")
    return lines


def mix_line(plan: "Mixtures", added: tuple[str, ...]) -> str:
    """The line of a recipe that trains a mixture."""
    parts = [
        f"{{export: {each.export}{f', share: {each.share:g}' if each.share < 1 else ''}}}"
        for each in plan.added
        if each.export in added
    ]
    return f"train: {{mix: [{{}}, {', '.join(parts)}], max_steps: {plan.settings.max_steps}}}"


def found_facts(plan: "Mixtures", found: "FoundMixture") -> dict[str, object]:
    """The same for JSON."""
    gain = found.gain
    return {
        "steps": plan.settings.max_steps,
        "seeds": plan.seeds,
        "tried": [
            {"added": each.added, "mean": each.mean, "losses": each.losses}
            for each in found.search.tried
        ],
        "stopped": found.search.stopped,
        "best": found.search.best.added,
        "alone": found.alone,
        "mixed": found.mixed,
        "gain": None if gain is None else {"mean": gain.mean, "interval": gain.interval},
        "verdict": "own alone is best" if gain is None else gain.verdict,
    }
