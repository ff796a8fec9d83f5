"""A Prefect server that went away, or never was there: one line that says what to do."""

import os

import httpx

from flows.cli.disk_errors import chain

NO_API = "Failed to reach API"  # from Prefect's client at a run's start, in a plain RuntimeError


def explain_lost_server(error: BaseException) -> str | None:
    """Say that the server that keeps the run's page is gone; None if it was something else.

    Prefect's client asks again for some minutes before it gives up, so a server that is started
    again in time ends no run.
    """
    url = os.environ.get("PREFECT_API_URL")
    if not url or not any(is_lost(each) for each in chain(error)):
        return None
    return (
        f"the Prefect server at {url} does not answer. What was finished is kept: start the server "
        "(`sluice server`), or unset PREFECT_API_URL to do without, and give the same command again"
    )


def is_lost(error: BaseException) -> bool:
    """Whether an error is that of a server that cannot be reached."""
    return isinstance(error, httpx.TransportError) or NO_API in str(error)
