"""A Prefect server that went away, or never was there: one line that says what to do."""

import os

import httpx

from flows.cli.disk_errors import chain

NO_API = "Failed to reach API"  # from Prefect's client at a run's start, in a plain RuntimeError
TOO_SLOW = "connect to ephemeral Prefect API server"  # the same, of the one it starts itself

PATIENCE = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


def explain_lost_server(error: BaseException) -> str | None:
    """Say that the server that keeps the run's page is gone; None if it was something else.

    Prefect's client asks again for some minutes before it gives up, so a server that is started
    again in time ends no run.
    """
    errors = list(chain(error))
    if any(TOO_SLOW in str(each) for each in errors):
        return (
            f"Prefect's temporary server did not start in {os.environ.get(PATIENCE, '20')} s. Wait "
            f"longer ({PATIENCE}), or start a server that stays (`sluice server`), and give the "
            "same command again"
        )
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()  # the environment's, or that of Prefect's profile
    if not any(is_lost(each) if url else is_lost_here(each) for each in errors):
        return None
    which, otherwise = (
        (f"the Prefect server at {url} does not answer", "unset PREFECT_API_URL to do without")
        if url
        else ("Prefect's temporary server went away", "do without as before")
    )
    return (
        f"{which}. What was finished is kept: start the server (`sluice server`), or {otherwise}, "
        "and give the same command again"
    )


def is_lost(error: BaseException) -> bool:
    """Whether an error is that of a server that cannot be reached."""
    return isinstance(error, httpx.TransportError) or NO_API in str(error)


def is_lost_here(error: BaseException) -> bool:
    """Whether an error is that of a Prefect API on this machine that cannot be reached."""
    request = getattr(error, "_request", None)  # httpx raises where it does not know it
    if not isinstance(error, httpx.TransportError) or not isinstance(request, httpx.Request):
        return False
    return request.url.host == "127.0.0.1" and request.url.path.startswith("/api/")
