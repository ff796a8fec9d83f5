"""`sluice suggest`: which prompts or sources to generate for next, by how the last answers went."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.read import HERE, AsJson, WorkspaceOption, print_json, print_table

if TYPE_CHECKING:
    from pipeline.advice.suggest import RiskyTask, Suggestion


class Tasks(StrEnum):
    """What is suggested."""

    source = "source"
    prompt = "prompt"


class Method(StrEnum):
    """How tasks are chosen."""

    mopps = "mopps"
    mpts = "mpts"


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(suggest)


def suggest(
    workspace: WorkspaceOption = HERE,
    by: Annotated[Tasks, typer.Option(help="Suggest sources, or prompts.")] = Tasks.source,
    count: Annotated[int, typer.Option(min=1, help="How many to name.")] = 8,
    method: Annotated[
        Method,
        typer.Option(
            help="mopps: what was answered right half of the time. mpts: what is expected to go "
            "worst or is least known, answered before or not; it reads stored embeddings."
        ),
    ] = Method.mopps,
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
        NoVerdictsError,
        SuggestionRequest,
        describe_tasks,
        suggest_tasks,
        suggest_untried,
    )
    from storage.database import QueryError, read_workspace
    from storage.verdicts import read_verdicts
    from storage.workspace import Workspace

    if method is Method.mpts and memory != 1.0:
        raise typer.BadParameter("--memory is of mopps: mpts goes by the last round")
    wanted = SuggestionRequest(count=count, memory=memory, seed=seed)
    found: Sequence[Suggestion | RiskyTask]
    try:
        with read_workspace(Workspace(workspace)) as con:
            verdicts = read_verdicts(con, by.value)
            if method is Method.mpts:
                found = suggest_untried(verdicts, describe_tasks(con, by.value), wanted)
            else:
                found = suggest_tasks(verdicts, wanted)
    except NoVerdictsError as error:
        raise QueryError(str(error)) from None
    if as_json:
        print_json([asdict(each) for each in found])
        return
    columns = ["expected wrong", "unsure", ""] if method is Method.mpts else ["expected", "drawn"]
    print_table([by.value, "right", "answers", *columns], [cells_of(each) for each in found])
    if len(found) < count:
        sys.stderr.write(f"there are {len(found)} in all\n")


def cells_of(found: "Suggestion | RiskyTask") -> tuple[object, ...]:
    """One line of the table."""
    from pipeline.advice.suggest import Suggestion

    counts = (found.task, found.correct, found.tried)
    if isinstance(found, Suggestion):
        return (*counts, f"{found.expected:.2f}", f"{found.drawn:.2f}")
    drawn = "at random" if found.at_random else ""
    return (*counts, f"{found.wrong:.2f}", f"{found.unsure:.2f}", drawn)
