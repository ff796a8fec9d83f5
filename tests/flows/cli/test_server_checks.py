"""What doctor makes of what a server says."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import prefect
import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.cli import server_checks
from flows.cli.server_checks import (
    check_automation,
    check_deployments,
    check_late_runs,
    check_telemetry,
    check_version,
)
from pipeline.upkeep.installation_checks import Finding


@dataclass
class FakeServer:
    """Says what a Prefect server would say."""

    version: str = prefect.__version__
    runs: int = 0
    """Of whatever is counted: late ones, planned ones."""
    deployments: dict[str, bool] = field(default_factory=dict)
    """Name → whether it has an active schedule."""
    workers: dict[str, list[str]] = field(default_factory=dict)
    """Pool → the states of its workers."""
    automations: tuple[str, ...] = ()

    def api_version(self) -> str:
        return self.version

    def count_flow_runs(self, flow_run_filter: object) -> int:
        return self.runs

    def read_deployments(self, limit: int) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(name=name, paused=False, schedules=[SimpleNamespace(active=active)])
            for name, active in self.deployments.items()
        ]

    def read_work_pools(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in self.workers]

    def read_workers_for_work_pool(self, pool: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="w", status=status) for status in self.workers[pool]]

    def read_automations_by_name(self, name: str) -> list[str]:
        return [each for each in self.automations if each == name]


def as_client(server: FakeServer) -> SyncPrefectClient:
    return cast(SyncPrefectClient, server)


@pytest.fixture(autouse=True)
def wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = {"nightly": "sluice", "fine-tune": "gpu"}
    monkeypatch.setattr(server_checks, "read_wanted", lambda: pools)


def deployments(server: FakeServer) -> dict[str, Finding]:
    return {each.what: each for each in check_deployments(as_client(server))}


def test_everything_in_its_place_is_ok() -> None:
    workers = {"sluice": ["WorkerStatus.ONLINE"], "gpu": ["OFFLINE", "ONLINE"]}
    server = FakeServer(runs=3, deployments={"nightly": True, "fine-tune": False}, workers=workers)
    found = deployments(server)
    assert list(found) == ["deployments", "pool gpu", "pool sluice", "scheduler"]
    assert {each.level for each in found.values()} == {"ok"}
    assert found["pool gpu"].detail == "1 workers are alive"


def test_what_is_missing_is_a_warning_with_the_command_that_makes_it() -> None:
    found = deployments(FakeServer(deployments={"nightly": False}, workers={"sluice": ["OFFLINE"]}))
    assert found["deployments"].detail == "not there: fine-tune"
    assert "prefect deploy --all" in found["deployments"].remedy
    assert "prefect work-pool create gpu" in found["pool gpu"].remedy
    assert "prefect worker start --pool sluice" in found["pool sluice"].remedy
    assert {each.level for each in found.values()} == {"warning"}
    assert "scheduler" not in found, "without an active schedule nothing need be planned"


def test_an_active_schedule_without_a_planned_run_is_a_problem() -> None:
    found = deployments(FakeServer(deployments={"nightly": True}))["scheduler"]
    assert found.level == "problem" and "no run is planned" in found.detail


def test_late_runs_are_a_problem() -> None:
    assert check_late_runs(as_client(FakeServer())).level == "ok"
    late = check_late_runs(as_client(FakeServer(runs=2)))
    assert (late.level, late.detail) == ("problem", "2 runs wait past their time")


@pytest.mark.parametrize(("version", "level"), [("3.0.0", "warning"), ("2.20.1", "problem")])
def test_a_server_of_another_version(version: str, level: str) -> None:
    assert check_version(as_client(FakeServer()), "u").level == "ok"
    assert check_version(as_client(FakeServer(version=version)), "u").level == level


def test_the_automation_that_finds_crashed_runs() -> None:
    assert check_automation(as_client(FakeServer())).level == "warning"
    there = FakeServer(automations=(server_checks.CRASH_AUTOMATION,))
    assert check_automation(as_client(there)).level == "ok"


def test_telemetry_that_was_switched_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("DO_NOT_TRACK", "1"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
    ):
        monkeypatch.setenv(name, value)
    assert check_telemetry().level == "ok"
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "true")
    assert "PREFECT_SERVER_ANALYTICS_ENABLED=true" in check_telemetry().detail
