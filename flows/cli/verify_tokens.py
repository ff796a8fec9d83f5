"""`sluice verify-tokens`: what the real trainer makes of an export, label by label."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import AsJson
from flows.cli.output import print_answer


def verify_tokens(
    export: Annotated[Path, typer.Argument(help="Folder of an export.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Whose tokenizer is trained; if not given, the one that the tokens were counted "
            "with, as the recipe names it."
        ),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=2, help="Where the trainer will cut rows, in tokens.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have TRL prepare an export's rows, and compare each token and label with the promise.

    Trains nothing. Exits with 3, and names rows, where one is dropped, cut or masked otherwise.
    """
    from fine_tune.outcome import with_template_of
    from fine_tune.verify_tokens import compare_labels
    from scorers.measures.models.loading import resolve_model
    from storage.exports_manifest import read_manifest

    reference = with_template_of(export, model or read_manifest(export).model.reference)
    totals = compare_labels(export, Path(resolve_model(reference).path), max_length)
    lines = [
        f"{split}: {counts.rows:,} rows, {counts.prompt_tokens:,} prompt and "
        f"{counts.loss_tokens:,} loss tokens, each as promised\n"
        for split, counts in totals.items()
    ]
    told = {split: counts.model_dump() for split, counts in totals.items()}
    print_answer(told, "".join(lines), as_json)
