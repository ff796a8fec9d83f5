"""`sluice retry`: rows and answers that failed are asked for again, and no others."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import AsJson, RecipeFile
from flows.cli.output import as_lines, print_json, print_table, print_text

if TYPE_CHECKING:
    from flows.retry_rows import Retried, Retry

COLUMNS = ["what", "rows", "state", "reason", "for example", "is the reason gone?"]


def retry(
    recipe: RecipeFile,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            help="A score of the recipe, whose measure is meant; give it again for more. If not "
            "given, all measures and makers."
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Only rows whose reason has this text in it, such as http_500.")
    ] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Say what failed, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask again about rows that failed, and for replies that could not be had.

    First says how many there are, and why. What failed stays as it is until its new answer is
    stored, so stop it when you like: the same command goes on with what is left.
    """
    from flows.recipe.check import load_recipe
    from flows.retry_rows import find_failed, retry_rows
    from flows.temporary_server import tie_temporary_server

    failed = failed_lines(find_failed(load_recipe(recipe), recipe.parent, scorer or [], reason))
    if not as_json:
        print_table(COLUMNS, [tuple(line.values()) for line in failed])
        sys.stdout.flush()  # the work that follows may take hours, and be read through a pipe
    retried: list[Retried] = []
    if not plan:
        tie_temporary_server()
        retried = retry_rows(str(recipe), scorer or [], reason)
    if as_json:
        print_json({"failed": failed, "retried": None if plan else retried})
    else:
        print_text(as_lines(map(in_words, retried)))


def failed_lines(found: "Retry") -> list[dict[str, Any]]:
    """What failed, a line for each reason."""
    from pipeline.measuring.retry import NOT_GONE, PERHAPS_GONE

    replies = [
        (each.settings.method, reason, PERHAPS_GONE if each.settings.endpoint else NOT_GONE)
        for each in found.makers
        for reason in each.reasons
    ]
    rows = [
        (name, reason, each.outlook(reason))
        for name, each in found.measures.rows.items()
        for reason in each.reasons
    ]
    return [
        {
            "what": name,
            "rows": reason.rows,
            "state": reason.state,
            "reason": reason.detail,
            "example": reason.example_id,
            "outlook": outlook,
        }
        for name, reason, outlook in [*replies, *rows]
    ]


def in_words(retried: "Retried") -> str:
    """What came of one measure or maker."""
    left = "; ".join(f"{each.rows} {each.state}: {each.detail}" for each in retried.left)
    still = f"; still {left}" if left else ""
    return f"{retried.what}: {retried.asked} asked again, {retried.ok} ok now{still}"
