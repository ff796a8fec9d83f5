"""`sluice deploy`: recipes that a Prefect server runs every night."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import as_lines, print_text

Recipes = Annotated[
    list[Path],
    typer.Argument(help="Recipes, or folders of them, as the worker sees them."),
]
Cron = Annotated[str, typer.Option(help="When, as five fields of cron.")]
TimeZone = Annotated[str, typer.Option(help="What the hours are of, such as Europe/Vienna.")]
Unscheduled = Annotated[bool, typer.Option("--unscheduled", help="Only when somebody starts them.")]


def deploy(
    recipes: Recipes,
    cron: Cron = "0 3 * * *",
    timezone: TimeZone = "UTC",
    unscheduled: Unscheduled = False,
) -> None:
    """Have a Prefect server run recipes every night, each by a deployment of its own."""
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.settings import PREFECT_API_URL
    from pydantic import ValidationError

    from flows.recipe_deployments import (
        DeployError,
        deployments_of,
        find_recipes,
        send_to_server,
    )

    if not PREFECT_API_URL.value():
        raise DeployError(
            "PREFECT_API_URL is not set, so there is no server to deploy to: `sluice server` "
            "starts one and says what to set"
        )
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        raise DeployError(f"{cron!r} in {timezone!r} is no schedule: {error}") from None
    schedule = None if unscheduled else {"cron": cron, "timezone": timezone, "slug": "nightly"}
    found = deployments_of(find_recipes(recipes), schedule)
    send_to_server(found)
    when = "when somebody starts it" if unscheduled else f"at {cron} {timezone}"
    print_text(
        as_lines(
            f"curate-file/{name}: {block['parameters']['recipe_file']}, {when}"
            for name, block in found.items()
        )
    )
