"""Hand work to a deployment on a Prefect server, once for each piece of work.

The key of a run is what is to be done: submitted twice, it is one run. A run that has ended, and
yet the same is to be done, does not stand in the way of another.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

MOST_ATTEMPTS = 100


class DeploymentMissingError(RuntimeError):
    """The server does not have the deployment."""

    exit_code: ClassVar[int] = 2


def submit_once(deployment: str, name: str, parameters: Mapping[str, Any], key: str) -> FlowRun:
    """The run that does a piece of work: the one that is on its way, or a new one.

    Args:
        deployment: as `FLOW/DEPLOYMENT`.
        name: of a new run.
        parameters: of the flow.
        key: a hash of the work.

    Raises:
        DeploymentMissingError: if the server has no such deployment.
    """
    # A key gives the same run for good, also one that has failed: then the next number is tried.
    for attempt in range(MOST_ATTEMPTS):
        run = submit(deployment, name, parameters, f"{key}-{attempt}")
        if run.state is None or not run.state.is_final():
            break
    return run


def submit(deployment: str, name: str, parameters: Mapping[str, Any], key: str) -> FlowRun:
    """Ask the server for a run; the same key gives the same run."""
    try:
        run = run_deployment(
            deployment,
            parameters=dict(parameters),
            flow_run_name=name,
            idempotency_key=key,
            timeout=0,  # do not wait for the run
            as_subflow=False,
        )
    except ObjectNotFound:
        raise DeploymentMissingError(
            f"the server has no deployment {deployment}: `prefect deploy --all` in the directory "
            "of Sluice makes it; docs/operations.md has the steps"
        ) from None
    assert isinstance(run, FlowRun)
    return run
