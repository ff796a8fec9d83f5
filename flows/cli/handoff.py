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
            help="The model to be trained, its tokenizer and chat template those that tokens were "
            "counted with; that very one otherwise.",
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
    from pipeline.handoff.readme import rejected_note
    from pipeline.handoff.trainer import Form
    from pipeline.handoff.write import HandoffError, Wish, write_handoff
    from scorers.measures.models.loading import resolve_model
    from storage.exports_manifest import read_manifest

    trainer = TRAINERS[to]
    chosen: Form = next(iter(trainer.forms)) if form is None else form
    if chosen not in trainer.forms:
        raise HandoffError(f"{to} reads no {chosen}, only {' and '.join(trainer.forms)}")
    export = export.resolve()
    reference = model or read_manifest(export).model.reference
    counted_with = Path(resolve_model(with_template_of(export, reference)).path)
    wish = Wish(export, trainer, chosen, counted_with, name_of(reference), allow_lost)
    place = out or export.with_name(f"{export.name}-{to}")
    with counted("") as work:
        written = write_handoff(wish, place, work.at)
    print_answer(written.model_dump(mode="json"), "".join(summary_lines(written)), as_json)
    lost = f"{written.lost_rows} of {written.rows} rows"
    if written.complete:
        held = f"{lost} are left out" if written.lost else "every row is handed over"
        say("; ".join(filter(None, [f"{place}: {held}", rejected_note(read_manifest(export))])))
        return
    if allow_lost:
        say(f"no row to train on is left; {place} lists why")
    else:
        other = [f"--form {name} may hold them; " for name in trainer.forms if name != chosen]
        say(
            f"{lost} would be lost, so none is handed over ({place} lists them): "
            f"{''.join(other)}--allow-lost leaves them out"
        )
    raise typer.Exit(1)


def name_of(reference: str) -> str:
    """What a trainer's files call a model: its name on the hub, or its folder on this machine."""
    from scorers.measures.models.loading import TEMPLATE, resolve_model

    plain = reference.partition(TEMPLATE)[0]
    local = plain.startswith(("wheel:", "adapter:")) or Path(plain).is_dir()
    return str(resolve_model(plain).path) if local else plain


def summary_lines(written: "HandoffManifest") -> list[str]:
    """A line for each split, and for each reason why rows are left out."""
    lines = [
        f"{split}: {counts.rows:,} rows, {counts.prompt_tokens:,} tokens read and "
        f"{counts.loss_tokens:,} trained\n"
        for split, counts in written.counts.items()
    ]
    return lines + [f"lost: {each.rows:,} rows: {each.reason}\n" for each in written.lost]
