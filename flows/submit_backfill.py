"""Hand a partition of a backfill to a Prefect server, once for each piece of work.

The key of a run is what is missing: submitted twice, it is one run. A run that has ended, and yet
the same is missing, does not stand in the way of another.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from storage.arrivals import Window
from storage.conversations import content_hash

DEPLOYMENT = "backfill/backfill"

MOST_ATTEMPTS = 100


class DeploymentMissingError(RuntimeError):
    """The server does not have the deployment."""

    exit_code: ClassVar[int] = 2


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
    # A key gives the same run for good, also one that has failed: then the next number is tried.
    for attempt in range(MOST_ATTEMPTS):
        run = submit(name, parameters, f"backfill-{base}-{attempt}")
        if run.state is None or not run.state.is_final():
            break
    return run.name, run.state.name if run.state and run.state.name else "submitted"


def submit(name: str, parameters: dict[str, object], key: str) -> FlowRun:
    """Ask the server for a run; the same key gives the same run."""
    try:
        run = run_deployment(
            DEPLOYMENT,
            parameters=parameters,
            flow_run_name=name,
            idempotency_key=key,
            timeout=0,  # do not wait for the run
            as_subflow=False,
        )
    except ObjectNotFound:
        raise DeploymentMissingError(
            f"the server has no deployment {DEPLOYMENT}: `prefect deploy --all` in the directory "
            "of Sluice makes it; docs/operations.md has the steps"
        ) from None
    assert isinstance(run, FlowRun)
    return run
