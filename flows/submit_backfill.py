"""Hand a partition of a backfill to a Prefect server, once for what is missing."""

from collections.abc import Sequence
from pathlib import Path

from flows.submit_run import submit_once
from storage.arrivals import Window
from storage.conversations import content_hash

DEPLOYMENT = "backfill/backfill"


def submit_partition(
    key: str, recipe: Path, scorers: Sequence[str], window: Window
) -> tuple[str, str]:
    """Submit one partition; return the run's name and its state.

    The key is a hash of what is missing; the recipe lies at the same place on the worker.

    Raises:
        DeploymentMissingError: if the server has no such deployment.
    """
    parameters: dict[str, object] = {
        "recipe_file": str(recipe.resolve()),
        "scorers": list(scorers),
        "since": str(window.since) if window.since else None,
        "until": str(window.until) if window.until else None,
        "source": window.source,
        "period": window.period,
    }
    name = f"backfill {', '.join(scorers)} of {window.since} to {window.until}"
    base = content_hash([key, str(recipe.resolve()), list(scorers)])[:16]
    run = submit_once(DEPLOYMENT, name, parameters, f"backfill-{base}")
    return run.name, run.state.name if run.state and run.state.name else "submitted"
