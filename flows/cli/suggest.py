"""`sluice suggest`: which prompts or sources to generate for next, by how the last answers went."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from flows.cli.options import HERE, AsJson, WorkspaceOption
from flows.cli.output import print_json, print_table
from flows.progress import say


def suggest(
    workspace: WorkspaceOption = HERE,
    by: Annotated[
        Literal["source", "prompt"], typer.Option(help="Suggest sources, or prompts.")
    ] = "source",
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
    from pipeline.advice.suggest import SuggestionRequest, suggest_tasks
    from storage.database import read_workspace
    from storage.verdicts import read_verdicts
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        verdicts = read_verdicts(con, by)
    found = suggest_tasks(verdicts, SuggestionRequest(count=count, memory=memory, seed=seed))
    if as_json:
        print_json([asdict(each) for each in found])
        return
    columns = [by, "right", "answers", "expected", "drawn"]
    rows = [
        (each.task, each.correct, each.tried, f"{each.expected:.2f}", f"{each.drawn:.2f}")
        for each in found
    ]
    print_table(columns, rows)
    if len(found) < count:
        say(f"there are {len(found)} in all")
