"""`sluice handoff`: an export for another trainer, with what that will make of every row."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.options import AsJson
from flows.cli.output import print_answer
from flows.progress import counted, say

if TYPE_CHECKING:
    from pipeline.handoff.manifest import HandoffManifest

TrainerName = Literal["trl", "llamafactory", "axolotl", "ms-swift", "open-instruct", "verl"]


def handoff(
    export: Annotated[Path, typer.Argument(help="Folder of an export.", show_default=False)],
    to: Annotated[TrainerName, typer.Option("--to", help="The trainer.", show_default=False)],
    form: Annotated[
        Literal["conversations", "tokens"] | None,
        typer.Option(
            help="Messages, which the trainer renders and masks by itself, or ids and labels, "
            "ready. The trainer's usual one otherwise: tokens for trl, else conversations.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write; EXPORT-TRAINER otherwise.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model to be trained, as its files name it; the one that tokens were counted "
            "with otherwise.",
            show_default=False,
        ),
    ] = None,
    allow_lost: Annotated[
        bool, typer.Option("--allow-lost", help="Leave out rows that the trainer cannot hold.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write an export in the dialect of a trainer, with its configuration and a prediction.

    The folder holds rows that the trainer reads and trains token for token as the export promises.
    If any would be lost, nothing but the list of them is written, and the command exits with 1.
    """
    from fine_tune.outcome import with_template_of
    from pipeline.handoff.catalogue import TRAINERS
    from pipeline.handoff.trainer import Form
    from pipeline.handoff.write import HandoffError, Wish, write_handoff
    from scorers.measures.models.loading import resolve_model
    from storage.exports_manifest import read_manifest

    trainer = TRAINERS[to]
    chosen: Form = next(iter(trainer.forms)) if form is None else form
    if chosen not in trainer.forms:
        raise HandoffError(f"{to} reads no {chosen}, only {' and '.join(trainer.forms)}")
    export = export.resolve()
    reference = read_manifest(export).model.reference
    counted_with = resolve_model(with_template_of(export, reference))
    trained = str(resolve_model(model or reference).path)
    place = out or export.with_name(f"{export.name}-{to}")
    wish = Wish(export, trainer, chosen, Path(counted_with.path), trained, allow_lost)
    with counted("") as work:
        written = write_handoff(wish, place, work.at)
    print_answer(written.model_dump(mode="json"), "".join(summary_lines(written)), as_json)
    lost, total = sum(each.rows for each in written.lost), written.rows
    if not written.complete:
        other = next((name for name in trainer.forms if name != chosen), None)
        advice = [f"--form {other} may hold them" if other else "", "--allow-lost leaves them out"]
        say(
            f"{lost} of {total} rows would be lost, so none is handed over ({place} lists them): "
            f"{'; '.join(filter(None, advice))}"
        )
        raise typer.Exit(1)
    left_out = f"{lost} of {total} rows are left out" if lost else "every row is handed over"
    say(f"{place}: {left_out}")


def summary_lines(written: "HandoffManifest") -> list[str]:
    """A line for each split, and for each reason why rows are left out."""
    lines = [
        f"{split}: {counts.rows:,} rows, {counts.prompt_tokens:,} tokens read and "
        f"{counts.loss_tokens:,} trained\n"
        for split, counts in written.counts.items()
    ]
    return lines + [f"lost: {each.rows:,} rows: {each.reason}\n" for each in written.lost]
