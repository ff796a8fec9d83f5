"""`sluice suggest`: which prompts or sources to generate for next, by how the last answers went."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.options import HERE, AsJson, WorkspaceOption
from flows.cli.output import print_json, print_table
from flows.progress import say

if TYPE_CHECKING:
    from pipeline.advice.suggest import RiskyTask, Suggestion


def suggest(
    workspace: WorkspaceOption = HERE,
    by: Annotated[
        Literal["source", "prompt"], typer.Option(help="Suggest sources, or prompts.")
    ] = "source",
    count: Annotated[int, typer.Option(min=1, help="How many to name.")] = 8,
    method: Annotated[
        Literal["mopps", "mpts"],
        typer.Option(
            help="mopps: what was answered right half of the time. mpts: what is expected to go "
            "worst or is least known, answered before or not; it reads stored embeddings."
        ),
    ] = "mopps",
    memory: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of earlier rounds that still counts, with mopps."),
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say which sources or prompts to generate for next.

    It counts the verdicts of correct_answer steps; each run is a round. Methods: MoPPS,
    arXiv:2507.04632, and MPTS, arXiv:2501.11039.
    """
    from pipeline.advice.suggest import (
        SuggestionRequest,
        describe_tasks,
        suggest_tasks,
        suggest_untried,
    )
    from storage.database import read_workspace
    from storage.verdicts import read_verdicts
    from storage.workspace import Workspace

    if method == "mpts" and memory != 1.0:
        raise typer.BadParameter("--memory is of mopps: mpts goes by the last round")
    wanted = SuggestionRequest(count=count, memory=memory, seed=seed)
    found: Sequence[Suggestion | RiskyTask]  # of one kind or the other, by the method
    with read_workspace(Workspace(workspace)) as con:
        verdicts = read_verdicts(con, by)
        if method == "mpts":
            found = suggest_untried(verdicts, describe_tasks(con, by), wanted)
        else:
            found = suggest_tasks(verdicts, wanted)
    if as_json:
        print_json(found)
        return
    columns = ["expected wrong", "unsure", ""] if method == "mpts" else ["expected", "drawn"]
    print_table([by, "right", "answers", *columns], [suggestion_cells(each) for each in found])
    if len(found) < count:
        say(f"there are {len(found)} in all")


def suggestion_cells(found: "Suggestion | RiskyTask") -> tuple[object, ...]:
    """One line of the table."""
    from pipeline.advice.suggest import Suggestion

    counts = (found.task, found.correct, found.tried)
    if isinstance(found, Suggestion):
        return (*counts, f"{found.expected:.2f}", f"{found.drawn:.2f}")
    drawn = "at random" if found.at_random else ""
    return (*counts, f"{found.wrong:.2f}", f"{found.unsure:.2f}", drawn)
