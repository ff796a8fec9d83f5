"""A Prefect server that does not answer is named, and nothing else is taken for it."""

import httpx
import pytest

from flows.cli.server_errors import explain_lost_server

URL = "http://127.0.0.1:4200/api"


def lost() -> Exception:
    error = RuntimeError("the flow failed")
    error.__cause__ = httpx.ConnectError("Connection refused")
    return error


@pytest.mark.parametrize("error", [lost(), RuntimeError(f"Failed to reach API at {URL}")])
def test_a_lost_server_is_named_with_what_to_do(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", URL)
    told = explain_lost_server(error)
    assert told is not None
    assert URL in told and "sluice server" in told and "same command again" in told


def test_other_errors_are_not_its_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", URL)
    assert explain_lost_server(ValueError("a bug")) is None
    monkeypatch.delenv("PREFECT_API_URL")
    assert explain_lost_server(lost()) is None
