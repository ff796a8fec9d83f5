"""`sluice check`: a recipe up to its check stage, or plain files against evaluation sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import AsJson, OnCluster, OnRunner, Strict, Wait
from flows.cli.output import print_answer, print_json, print_text
from flows.cli.run import RunOptions, refuse_quarantined, run_until
from flows.progress import say

if TYPE_CHECKING:
    from pipeline.contamination.report import CheckReport
    from pipeline.contamination.settings import CheckSettings

RECIPE_SUFFIXES = (".yaml", ".yml")

Checked = Annotated[
    list[str],
    typer.Argument(
        help="A recipe (.yaml); or files, folders or patterns of rows, with --against.",
        show_default=False,
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against", help="An evaluation set to compare files with; can be given several times."
    ),
]
PromptField = Annotated[
    str | None,
    typer.Option("--prompt", help="The sets' field with the prompt; else told from their shape."),
]
AnswerField = Annotated[
    str | None, typer.Option("--answer", help="The sets' field with the answer, beside --prompt.")
]
NGramWords = Annotated[int, typer.Option("--words", help="Words in an n-gram.", min=2, max=100)]
NearCopies = Annotated[
    bool,
    typer.Option(
        "--near",
        help="Find near copies too: 5-grams that cover 0.7 of a prompt, whatever its numbers.",
    ),
]
FailOnHits = Annotated[
    bool, typer.Option("--fail-on-hits", help="Exit with 1 if anything was found.")
]


def check(
    data: Checked,
    against: Against = None,
    prompt: PromptField = None,
    answer: AnswerField = None,
    words: NGramWords = 13,
    near: NearCopies = False,
    as_json: AsJson = False,
    fail_on_hits: FailOnHits = False,
    strict: Strict = False,
    wait: Wait = False,
    runner: OnRunner = "threads",
    cluster: OnCluster = None,
) -> None:
    """Find rows that hold something of an evaluation set, and say what could not be checked.

    With a recipe it does the stages before it as far as they are missing, and its `check` block
    says the rest. With files it needs no workspace, and the options say it.
    """
    if Path(data[0]).suffix in RECIPE_SUFFIXES:
        if len(data) > 1 or against:
            raise typer.BadParameter(
                "a recipe names its rows and evaluation sets itself: give it alone, or give files "
                "of rows with --against"
            )
        how = RunOptions(wait, runner, cluster)
        report = check_recipe(Path(data[0]), how, as_json=as_json, strict=strict)
    else:
        settings = comparison(against or [], prompt, answer, words, near)
        report = check_data(data, settings, as_json=as_json)
    if fail_on_hits and report.found:
        raise typer.Exit(1)


def check_recipe(path: Path, how: RunOptions, *, as_json: bool, strict: bool) -> "CheckReport":
    """Run a recipe up to its check, and print what that found; as JSON, nothing of the run."""
    from flows.cli.summary import print_summary, summary_of
    from flows.recipe.check import RecipeError, load_recipe
    from pipeline.contamination.report import read_check_report
    from storage.contamination import ALL
    from storage.database import read_workspace

    if load_recipe(path).check is None:
        raise RecipeError(str(path), ["check: missing; name the evaluation sets in a check block"])
    state = run_until(path, "check", how)
    summary = summary_of(state)
    with read_workspace(state.run.workspace) as con:
        report = read_check_report(con, state.run.run_id, ALL)
    assert report is not None  # the recipe has a check block, and the run came that far
    if as_json:
        print_json({"run_id": state.run.run_id, **report.as_json})
    else:
        print_summary(summary, as_json=False)
        print_text(f"\n{report.markdown}")
    if strict:
        refuse_quarantined(summary)  # last: what was found is printed whatever the exit code
    return report


def comparison(
    against: list[str], prompt: str | None, answer: str | None, words: int, near: bool
) -> "CheckSettings":
    """What files are compared with, and how, as the check block of a recipe would have it."""
    from pipeline.contamination.settings import (
        NEAR_COPIES,
        CheckSettings,
        EvaluationSettings,
        NGramSettings,
    )

    if not against:
        raise typer.BadParameter("name the evaluation sets with --against, or give a recipe")
    if answer and not prompt:
        raise typer.BadParameter("--answer names a field, so name the one of the prompt too")
    ngrams = (NGramSettings(words=words), *([NEAR_COPIES] if near else []))
    sets = [EvaluationSettings(path=path, prompt=prompt, answer=answer) for path in against]
    return CheckSettings(against=tuple(sets), ngrams=ngrams)


def check_data(data: list[str], settings: "CheckSettings", *, as_json: bool) -> "CheckReport":
    """Compare files of rows with evaluation sets, and print what was found."""
    from pipeline.contamination.check_files import check_files

    report, unreadable = check_files(data, settings)
    for reason, rows in unreadable.items():
        say(f"sluice: {rows} rows could not be read and were not compared: {reason}")
    print_answer({**report.as_json, "unreadable_rows": unreadable}, report.markdown, as_json)
    return report
