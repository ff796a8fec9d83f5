"""`sluice run` does all of a recipe; `ingest`, `measure` and the others stop after their stage."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from flows.cli.options import AsJson, OnCluster, OnRunner, RecipeFile, Strict, Wait
from flows.progress import say

if TYPE_CHECKING:
    from flows.begin_run import RunState
    from flows.cli.summary import RunSummary
    from flows.runners import RunnerName
    from flows.stages import StageName


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a recipe is run."""

    wait: bool  # for another run that works on the workspace
    runner: "RunnerName"
    cluster: str | None


def stage_verb(name: str, stage: "StageName", what: str) -> Callable[..., None]:
    """A verb that runs a recipe up to a stage; `what` it does is its `--help`."""

    def verb(
        recipe: RecipeFile,
        as_json: AsJson = False,
        strict: Strict = False,
        wait: Wait = False,
        runner: OnRunner = "threads",
        cluster: OnCluster = None,
    ) -> None:
        from flows.cli.summary import print_summary, summary_of

        summary = summary_of(run_until(recipe, stage, RunOptions(wait, runner, cluster)))
        print_summary(summary, as_json)
        if strict:
            refuse_quarantined(summary)

    verb.__name__, verb.__doc__ = name, what  # typer makes the command and its help of these
    return verb


def verb_of(stage: "StageName", what: str) -> Callable[..., None]:
    """The verb that is called as its stage is."""
    return stage_verb(
        stage, stage, f"{what}\n\nDoes the stages before it as far as they are missing."
    )


run = stage_verb("run", "train", "Run a whole recipe. What is stored already is not done again.")
ingest = verb_of("ingest", "Read the sources: rows become examples, or go to quarantine.")
generate = verb_of("generate", "Have prompts answered by a model.")
clean = verb_of("clean", "Look for personal data: report, flag, remove or redact it.")
measure = verb_of(
    "measure", "Ask models what is not stored yet: losses, embeddings, marks, samples and more."
)
score = verb_of("score", "Turn measurements into scores; no model is asked.")
dedupe = verb_of(
    "dedupe", "Remove copies: equal, near, alike in meaning or in a passage; the best one stays."
)
select = verb_of("select", "Choose rows, and draw the two controls.")
export = verb_of("export", "Write the selection for the trainer, with manifest and dataset card.")
train = verb_of("train", "Fine-tune the target on the export with LoRA.")

BEFORE_CHECK = (ingest, generate, clean, measure, score, dedupe)
AFTER_CHECK = (select, export, train)


def run_until(path: Path, until: "StageName", how: RunOptions) -> "RunState":
    """Check the recipe, run it as far as a stage, and return how far it came."""
    from flows.recipe.check import load_recipe

    recipe = load_recipe(path)
    say(f"{path} is sound; starting {until if until != 'train' else 'the run'}")

    # Prefect takes a while to import: what is wrong with the recipe is told before.
    from flows.curate_dataset import curate_on, say_where_the_page_is
    from flows.temporary_server import tie_temporary_server

    tie_temporary_server()
    flow = curate_on(how.runner, how.cluster)
    say_where_the_page_is()
    # The flow quotes its state, or Prefect would look for futures in millions of ids.
    state: RunState = flow(recipe, str(path.parent), until, how.wait).unquote()
    return state


def refuse_quarantined(summary: "RunSummary") -> None:
    """End with 4 if a row went to quarantine."""
    if summary.quarantined:
        raise typer.Exit(4)
