"""`sluice suggest`: which prompts or sources to generate for next, by how the last answers went."""

import sys
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from flows.cli.read import HERE, AsJson, WorkspaceOption, print_json, print_table


class Tasks(StrEnum):
    """What is suggested."""

    source = "source"
    prompt = "prompt"


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(suggest)


def suggest(
    workspace: WorkspaceOption = HERE,
    by: Annotated[Tasks, typer.Option(help="Suggest sources, or prompts.")] = Tasks.source,
    count: Annotated[int, typer.Option(min=1, help="How many to name.")] = 8,
    memory: Annotated[
        float, typer.Option(min=0, max=1, help="Share of earlier rounds that still counts.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say which sources or prompts to generate for next: those answered right half of the time.

    It counts the verdicts of correct_answer steps; each run is a round (MoPPS, arXiv:2507.04632).
    """
    from pipeline.advice.suggest import NoVerdictsError, SuggestionRequest, suggest_tasks
    from storage.database import QueryError, read_workspace
    from storage.verdicts import read_verdicts
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        verdicts = read_verdicts(con, by.value)
    try:
        found = suggest_tasks(verdicts, SuggestionRequest(count=count, memory=memory, seed=seed))
    except NoVerdictsError as error:
        raise QueryError(str(error)) from None
    if as_json:
        print_json([asdict(each) for each in found])
        return
    columns = [by.value, "right", "answers", "expected", "drawn"]
    rows = [
        (each.task, each.correct, each.tried, f"{each.expected:.2f}", f"{each.drawn:.2f}")
        for each in found
    ]
    print_table(columns, rows)
    if len(found) < count:
        sys.stderr.write(f"there are {len(found)} in all\n")
