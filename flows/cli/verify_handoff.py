"""`sluice verify-handoff`: the trainer's own code reads a handoff, row by row."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import AsJson
from flows.cli.output import print_answer
from flows.progress import counted, say

if TYPE_CHECKING:
    from pipeline.handoff.verify import VerifiedSplit

ROWS_NAMED = 5  # missing rows that a line names; --json names all


def verify_handoff(
    folder: Annotated[Path, typer.Argument(help="Folder of a handoff.", show_default=False)],
    python: Annotated[
        Path | None,
        typer.Option(
            help="An interpreter that has the trainer; else an environment is made for it, once: "
            "pip fetches the trainer and the versions that it asks for.",
            show_default=False,
        ),
    ] = None,
    checkout: Annotated[
        Path | None,
        typer.Option(
            help="A checkout of the trainer's code, for open-instruct, which is on no index.",
            show_default=False,
        ),
    ] = None,
    any_version: Annotated[
        bool,
        typer.Option(
            "--any-version", help="Compare with another version than the prediction is for."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Have the trainer's own code load and tokenise a handoff, and compare every row.

    Trains nothing and needs no GPU. Exits with 1, and names rows, where one is not as predicted.
    """
    from pipeline.handoff.environment import set_up_trainer, trainers_place
    from pipeline.handoff.manifest import read_handoff
    from pipeline.handoff.verify import (
        TrainerCode,
        compare_handoff,
        require_source,
        trainer_of,
    )

    trainer = trainer_of(folder, read_handoff(folder))
    require_source(trainer, checkout)
    if python is None and trainer.found == "here":
        python = Path(sys.executable)
    if python is None:
        with counted("") as work:
            python = set_up_trainer(trainer, trainers_place(), say, work.at).python
    splits = compare_handoff(folder, TrainerCode(python, checkout, any_version))
    told = [
        {
            "split": each.split,
            "predicted": each.predicted,
            "held": each.held,
            "missing": each.missing,
            "unexpected": each.unexpected,
        }
        for each in splits
    ]
    print_answer(told, "".join(map(split_line, splits)), as_json)
    if any(each.missing or each.unexpected for each in splits):
        raise typer.Exit(1)


def split_line(split: "VerifiedSplit") -> str:
    """What a split came to, in a line."""
    if not split.missing and not split.unexpected:
        return f"{split.split}: {split.predicted:,} rows, each with the ids and labels predicted\n"
    named = ", ".join(split.missing[:ROWS_NAMED]) + " …" * (len(split.missing) > ROWS_NAMED)
    return (
        f"{split.split}: {len(split.missing)} of {split.predicted:,} rows are not as predicted "
        f"({named or 'none'}), and {split.unexpected} are held that were not\n"
    )
