"""`sluice mixture`: which proportions of sources to train on next, from short runs on some.

Of an export with exports that can be added, it trains the runs itself: see trained_mixture.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import AsJson
from flows.cli.output import as_lines, print_json, print_table, print_text
from flows.progress import say

if TYPE_CHECKING:
    from pipeline.advice.mixture_model import MixtureRuns, RankedMixtures, Validation


def mixture(
    runs: Annotated[
        Path,
        typer.Argument(
            help="CSV or JSON Lines: mixture, checkpoint from 0, p.SOURCE and s.BENCHMARK. Or an "
            "export's folder, with --add."
        ),
    ],
    context: typer.Context,
    add: Annotated[
        list[str],
        typer.Option(
            metavar="EXPORT[=SHARE]",
            help="Train on mixtures of the export with this one, by folder or name; may be given "
            "again.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    seeds: Annotated[int, typer.Option(min=1, help="With --add: trainings of each mixture.")] = 3,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --add: optimizer steps of each; those of the export alone otherwise."
        ),
    ] = None,
    at_most: Annotated[
        int | None, typer.Option(min=1, help="With --add: mixtures that may be trained.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="With --add: say what it would cost, and train nothing.")
    ] = False,
    batch: Annotated[
        int, typer.Option(min=1, help="Look at proportions in steps of 1/BATCH.")
    ] = 16,
    top: Annotated[int, typer.Option(min=1, help="How many mixtures to print.")] = 10,
    curved: Annotated[
        bool, typer.Option("--curved", help="Let two sources be better together than alone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which mixtures of sources to train on next, from short trainings on some.

    With --add it trains them itself: an export alone, and with others added and dropped again.
    Exits with 1 if the runs tell too little to recommend one; docs/mixtures.md has the file.
    """
    require_one_form(context, trained=bool(add))
    if add:
        from flows.cli.trained_mixture import SearchOptions, find_mixture

        find_mixture(runs, add, SearchOptions(seeds, steps, at_most, plan), as_json)
        return
    if runs.is_dir():
        raise typer.BadParameter(f"{runs} is a folder: name the exports to mix it with by --add")
    rank_runs(runs, batch, top, curved=curved, as_json=as_json)


OF_RUNS = ("batch", "top", "curved")
OF_TRAININGS = ("seeds", "steps", "at_most", "plan")


def require_one_form(context: typer.Context, *, trained: bool) -> None:
    """Refuse options of the other form: they would do nothing."""
    others, form = (OF_RUNS, "a file of runs") if trained else (OF_TRAININGS, "--add")
    given = [
        f"--{name.replace('_', '-')}"
        for name in others
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise typer.BadParameter(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for {form}"
        )


def rank_runs(runs: Path, batch: int, top: int, *, curved: bool, as_json: bool) -> None:
    """Fit a law to runs and rank mixtures by it; exit with 1 if it tells too little."""
    from pipeline.advice.mixture_model import fit_runs, rank_mixtures, validate_runs
    from pipeline.advice.mixture_runs import read_mixture_runs

    read, left_out = read_mixture_runs(runs)
    if left_out:
        say(f"{left_out} rows lack a score and are left out")
    try:
        found = validate_runs(read, curved)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    ranked = None  # a law that predicts no better than the mean ranks by noise
    if found.useful:
        ranked = rank_mixtures(fit_runs(read, curved), read.proportions, batch, top)
    if as_json:
        print_json(mixture_facts(read, found, ranked))
    else:
        if ranked is not None:
            print_table(["", "mean", *read.benchmarks, *read.sources], mixture_rows(ranked))
        print_text(as_lines(verdict(read, found, ranked)))
    if not found.useful:
        raise typer.Exit(1)


def mixture_rows(ranked: "RankedMixtures") -> list[tuple[object, ...]]:
    """Lines of the table: place, mean score, score by benchmark, share by source."""
    best = zip(ranked.proportions, ranked.scores, strict=True)  # (sources,) and (benchmarks,) each
    return [
        (place, *(f"{x:.2f}" for x in (scores.mean(), *scores)), *(f"{x:.1%}" for x in shares))
        for place, (shares, scores) in enumerate(best, start=1)
    ]


def verdict(runs: "MixtureRuns", found: "Validation", ranked: "RankedMixtures | None") -> list[str]:
    """How far the ranking can be trusted, line by line."""
    from pipeline.advice.mixture_model import replicate_noise

    repeated = replicate_noise(runs)
    mixtures = len(set(runs.mixtures.tolist()))  # a mixture has a row for each checkpoint
    lines = [
        f"R^2 on mixtures that were not fitted: {found.r2_mean:.2f} for the mean score "
        f"({mixtures} mixtures, {len(runs.mixtures)} rows); by benchmark "
        + ", ".join(f"{n} {r:.2f}" for n, r in zip(runs.benchmarks, found.r2, strict=True)),
        f"a predicted mean score is off by {found.noise:.2f}"
        + (f"; the same run twice differs by {repeated:.2f}" if repeated is not None else ""),
    ]
    if ranked is None:
        return [
            *lines,
            "no mixture is recommended: a mean would predict as well. Make more runs, on mixtures "
            "further apart, or take shares by temperature",
        ]
    if not len(ranked.proportions):
        return [*lines, "no mixture lies within what was tried: take a larger batch"]
    means = ranked.scores.mean(axis=1)  # (printed,) best first
    tied = int((means >= means[0] - found.noise).sum())  # the best itself is one of them
    lines.append(
        f"{ranked.searched:,} mixtures within the proportions that were tried; "
        f"{tied} of the {len(means)} printed are within {found.noise:.2f} of the best, and as good "
        "as far as this can tell"
    )
    return lines


def mixture_facts(
    runs: "MixtureRuns", found: "Validation", ranked: "RankedMixtures | None"
) -> dict[str, object]:
    """The same for JSON, which has null for a NaN."""
    from pipeline.advice.mixture_model import replicate_noise

    best = [] if ranked is None else zip(ranked.proportions, ranked.scores, strict=True)
    return {
        "mixtures": len(set(runs.mixtures.tolist())),
        "rows": len(runs.mixtures),
        "r2_mean": found.r2_mean,
        "r2": dict(zip(runs.benchmarks, found.r2.tolist(), strict=True)),
        "noise": found.noise,
        "replicate_noise": replicate_noise(runs),
        "recommended": ranked is not None,
        "searched": None if ranked is None else ranked.searched,
        "ranked": [
            {
                "proportions": dict(zip(runs.sources, shares.tolist(), strict=True)),
                "mean": float(scores.mean()),
                "scores": dict(zip(runs.benchmarks, scores.tolist(), strict=True)),
            }
            for shares, scores in best
        ],
    }
