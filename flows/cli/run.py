"""Verbs that do work: `run` does all of a recipe, the others stop after their own stage."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

if TYPE_CHECKING:
    from flows.begin_run import RunState


class RunnerOption(StrEnum):
    """Where tasks are done."""

    threads = "threads"
    dask = "dask"
    ray = "ray"


RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 4 if any row went to quarantine.")
]
OnRunner = Annotated[
    RunnerOption, typer.Option("--runner", help="Where tasks are done: threads, dask or ray.")
]
OnCluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Address of the cluster: tcp://HOST:8786 (Dask); ray://HOST:10001 or auto (Ray).",
        show_default=False,
    ),
]

Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for another run that works on the workspace.")
]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a recipe is run."""

    wait: bool
    """For another run that works on the workspace."""
    runner: str
    cluster: str | None


LOOPBACK = "127.0.0.1"

STAGE_HELP = {
    "ingest": "Read the sources: rows become examples, or go to quarantine.",
    "generate": "Have prompts answered by a model.",
    "clean": "Look for personal data: report, flag, remove or redact it.",
    "measure": "Ask models what is not stored yet: losses, embeddings, marks, samples and more.",
    "score": "Turn measurements into scores; no model is asked.",
    "dedupe": "Remove copies: equal, near, alike in meaning or in a passage; the best one stays.",
    "select": "Choose rows, and draw the two controls.",
    "export": "Write the selection for the trainer, with manifest and dataset card.",
    "train": "Fine-tune the target on the export with LoRA.",
}

STARTER = """\
# A starter recipe. `sluice run {name}.yaml` runs it; docs/recipes.md has a page for every block.
name: {name}
workspace: {name}-workspace             # a directory; everything a run makes
seed: 0
target: wheel:smollm2-135m-instruct     # the model to be fine-tuned: a directory or hub id as well

sources:
  - {{path: {path}, license: unknown}}

measure:
  losses: {{max_tokens: 1024}}
  embeddings:
    - {{of: both}}

scores: [perplexity, ifd, grape, response_length]

dedupe:
  - {{method: minhash, text: both, threshold: 0.7, keep: grape}}

select:
  name: choice
  held_out: 0.05
  steps:
    - {{method: threshold, score: ifd, at_most: 1.0}}
    - {{method: diverse, score: ifd, max_similarity: 0.9, budget: {{fraction: 0.2}}}}

train: {{epochs: 1}}
"""


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("init")(init)
    whole = "Run a whole recipe. What is stored already is not done again."
    app.command("run", help=whole)(stage_command("train"))
    for stage, what in STAGE_HELP.items():
        app.command(stage, help=f"{what}\n\nDoes the stages before it as far as they are missing.")(
            stage_command(stage)
        )
    app.command("server")(server)


def stage_command(stage: str) -> Callable[..., None]:
    """The verb that runs a recipe up to one stage."""

    def command(
        recipe: RecipeFile,
        as_json: AsJson = False,
        strict: Strict = False,
        wait: Wait = False,
        runner: OnRunner = RunnerOption.threads,
        cluster: OnCluster = None,
    ) -> None:
        how = RunOptions(wait, runner.value, cluster)
        run_until(recipe, stage, how, (as_json, strict))

    return command


def run_until(
    path: Path, until: str, how: RunOptions, outcome: tuple[bool, bool], quiet: bool = False
) -> "RunState":
    """Check the recipe, run it, print what became of its rows.

    Args:
        path: of the recipe.
        until: the last stage.
        how: it is run.
        outcome: whether to print it as JSON, and whether rows in quarantine are a failure.
        quiet: print nothing of it.

    Returns:
        How far the run came.
    """
    as_json, strict = outcome
    from flows.recipe.check import load_recipe

    recipe = load_recipe(path)
    sys.stderr.write(f"{path} is sound; starting {until if until != 'train' else 'the run'}\n")

    from flows.cli.summary import print_summary, summary_of
    from flows.curate_dataset import curate_on, say_where_the_page_is
    from flows.runners import RunnerName
    from flows.stages import StageName

    (stage,) = (name for name in get_args(StageName) if name == until)
    (place,) = (name for name in get_args(RunnerName) if name == how.runner)
    flow = curate_on(place, how.cluster)
    say_where_the_page_is()
    state: RunState = flow(recipe, str(path.parent), stage, how.wait).unquote()
    summary = summary_of(state)
    if not quiet:
        print_summary(summary, as_json)
    if strict and summary.quarantined:
        raise typer.Exit(4)
    return state


def init(
    path: Annotated[str, typer.Argument(help="The data the recipe should read.")],
    name: Annotated[str, typer.Option(help="What to call the recipe.")] = "my-recipe",
) -> None:
    """Write a starter recipe for a data file; it refuses to overwrite one."""
    file = Path(f"{name}.yaml")
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(STARTER.format(name=name, path=path))
    except FileExistsError:
        sys.stderr.write(f"sluice: error: {file} exists; choose another --name\n")
        raise typer.Exit(2) from None
    sys.stdout.write(f"{file}\n")
    sys.stderr.write(f"next: sluice run {file}\n")


def server(
    port: Annotated[int, typer.Option(help="The port.")] = 4200,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for a team: see docs/operations.md.")
    ] = LOOPBACK,
    database: Annotated[
        str | None, typer.Option(help="postgresql+asyncpg://USER@HOST/NAME; SQLite if not given.")
    ] = None,
) -> None:
    """Start a Prefect server that keeps the pages of runs; Ctrl-C ends it."""
    import os
    import socket

    local = host in (LOOPBACK, "localhost")
    url = f"http://{LOOPBACK if local else socket.gethostname()}:{port}"
    sys.stderr.write(
        f"in another terminal: export PREFECT_API_URL={url}/api\nthen run; pages are at {url}\n"
    )
    if not local and not os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        sys.stderr.write(
            "whoever can reach this address can read every page and start runs as the workers' "
            "user; set PREFECT_SERVER_API_AUTH_STRING=NAME:PASSWORD to ask for a password\n"
        )
    os.environ["PREFECT_SERVER_UI_API_URL"] = "/api"  # or its pages look for port 4200
    if database:
        os.environ["PREFECT_API_DATABASE_CONNECTION_URL"] = database
    command = ["prefect", "server", "start", "--host", host, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", *command])
