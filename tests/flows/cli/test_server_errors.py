"""A Prefect server that does not answer is named, and nothing else is taken for it."""

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli.server_errors import explain_lost_server

URL = "http://127.0.0.1:4200/api"


def lost() -> Exception:
    error = RuntimeError("the flow failed")
    error.__cause__ = httpx.ConnectError("Connection refused")
    return error


@pytest.mark.parametrize("error", [lost(), RuntimeError(f"Failed to reach API at {URL}")])
def test_a_lost_server_is_named_with_what_to_do(error: Exception) -> None:
    with temporary_settings({PREFECT_API_URL: URL}):
        told = explain_lost_server(error)
    assert told is not None
    assert URL in told and "sluice server" in told and "same command again" in told


def test_other_errors_are_not_its_fault() -> None:
    with temporary_settings({PREFECT_API_URL: URL}):
        assert explain_lost_server(ValueError("a bug")) is None
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert explain_lost_server(lost()) is None


def test_a_temporary_server_that_is_too_slow_or_went_away_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "7")
    slow = RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")
    told = explain_lost_server(slow)
    assert told is not None and "did not start in 7 s" in told and "sluice server" in told
    request = httpx.Request("POST", "http://127.0.0.1:8123/api/task_runs/")
    told = explain_lost_server(httpx.ReadError("", request=request))
    assert told is not None and "went away" in told and "same command again" in told
    elsewhere = httpx.Request("GET", "https://models.example/api/models")
    assert explain_lost_server(httpx.ReadError("", request=elsewhere)) is None
