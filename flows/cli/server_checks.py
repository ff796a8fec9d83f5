"""What `sluice doctor` finds of the Prefect server: version, scheduler, pools, deployments."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import yaml

from flows.cli.environment import ENVIRONMENT
from pipeline.code_version import ROOT
from pipeline.upkeep.installation_checks import Finding

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

CRASH_AUTOMATION = "sluice-crashed-runs"  # marks a run whose process is gone as crashed
SECONDS = 5.0  # a server that does not answer in this time is not there


def examine_server() -> Iterator[Finding]:
    """Everything about the server that PREFECT_API_URL names."""
    yield check_telemetry()
    from prefect.settings import PREFECT_API_URL

    if not (url := PREFECT_API_URL.value()):  # the environment's, or that of Prefect's profile
        detail = "PREFECT_API_URL is not set: pages of runs are not kept, and nothing is scheduled"
        remedy = "`sluice server` starts one and says what to set"
        yield Finding("warning", "server", detail, remedy)
        return
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "0")  # or 5 tries, with pauses between
    try:
        with get_client({"timeout": httpx.Timeout(SECONDS)}, sync_client=True) as client:
            yield check_version(client, url)
            yield check_late_runs(client)
            yield from check_deployments(client)
            yield check_automation(client)
    except (httpx.HTTPError, PrefectHTTPStatusError, OSError, RuntimeError) as error:
        detail = f"{url} does not answer as a Prefect server ({type(error).__name__})"
        remedy = "start it with `sluice server`, or correct or unset PREFECT_API_URL"
        yield Finding("problem", "server", detail, remedy)


def check_telemetry() -> Finding:
    """Whether nobody is told that Sluice is used."""
    names = ("DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "PREFECT_SERVER_ANALYTICS_ENABLED")
    on = [name for name in names if os.environ.get(name, "") != ENVIRONMENT[name]]
    if on:
        detail = "switched on by " + ", ".join(f"{name}={os.environ.get(name, '')}" for name in on)
        return Finding("warning", "telemetry", detail, "unset these; Sluice then switches it off")
    return Finding("ok", "telemetry", "off")


def check_version(client: "SyncPrefectClient", url: str) -> Finding:
    """Whether the server is of our version."""
    import prefect

    theirs, ours = client.api_version(), prefect.__version__
    if theirs == ours:
        return Finding("ok", "server", f"{url}, Prefect {theirs}")
    same_major = theirs.split(".")[0] == ours.split(".")[0]
    detail, remedy = f"{url} is Prefect {theirs}, here is {ours}", f"run the server with {ours}"
    return Finding("warning" if same_major else "problem", "server", detail, remedy)


def check_late_runs(client: "SyncPrefectClient") -> Finding:
    """Whether runs wait past their time: no worker, or a scheduler that stands still."""
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = FlowRunFilter.model_validate({"state": {"name": {"any_": ["Late"]}}})
    if late := client.count_flow_runs(flow_run_filter=wanted):
        remedy = "start a worker: `prefect worker start --pool sluice`"
        return Finding("problem", "late runs", f"{late} runs wait past their time", remedy)
    return Finding("ok", "late runs", "none")


def check_deployments(client: "SyncPrefectClient") -> Iterator[Finding]:
    """The deployments of prefect.yaml, the pools they run in, and whether schedules make runs."""
    wanted = read_wanted()
    there = {each.name: each for each in client.read_deployments(limit=200)}  # a page's most
    if missing := sorted(set(wanted) - set(there)):
        deploy = f"`prefect deploy --all` in {ROOT}"
        yield Finding("warning", "deployments", f"not there: {', '.join(missing)}", deploy)
    else:
        yield Finding("ok", "deployments", ", ".join(sorted(wanted)))
    pools = {pool.name for pool in client.read_work_pools()}
    for name in sorted(set(wanted.values())):
        yield check_pool(client, name, there=name in pools)
    # Without an active schedule nothing need be planned.
    if any(s.active for each in there.values() if not each.paused for s in each.schedules):
        yield check_scheduler(client)


def read_wanted() -> dict[str, str]:
    """Deployment → work pool, as prefect.yaml has them."""
    written = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    return {each["name"]: each["work_pool"]["name"] for each in written["deployments"]}


def check_pool(client: "SyncPrefectClient", name: str, *, there: bool) -> Finding:
    """Whether a pool is there and a worker lives in it."""
    what = f"pool {name}"
    if not there:
        remedy = f"`prefect work-pool create {name} --type process`"
        return Finding("warning", what, "not there", remedy)
    workers = client.read_workers_for_work_pool(name)
    # ONLINE as a plain text, WorkerStatus.ONLINE as the text of an enum.
    alive = sum(str(worker.status).endswith("ONLINE") for worker in workers)
    if not alive:
        remedy = f"`prefect worker start --pool {name}`"
        return Finding("warning", what, "no worker is alive", remedy)
    return Finding("ok", what, f"{alive} workers are alive")


def check_scheduler(client: "SyncPrefectClient") -> Finding:
    """Whether the server has made runs for the schedules that are active."""
    from prefect.client.schemas.filters import FlowRunFilter

    after = {"after_": datetime.now(UTC)}  # what is planned for earlier is late, and counted there
    wanted = {"expected_start_time": after, "state": {"name": {"any_": ["Scheduled"]}}}
    if planned := client.count_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted)):
        return Finding("ok", "scheduler", f"{planned} runs are planned")
    remedy = "restart the server; where it was just started, ask again in a minute"
    return Finding("problem", "scheduler", "schedules are active and no run is planned", remedy)


def check_automation(client: "SyncPrefectClient") -> Finding:
    """Whether a run that lost its process is found."""
    if client.read_automations_by_name(CRASH_AUTOMATION):
        return Finding("ok", "crashed runs", "are found by their missing pulse")
    remedy = "`prefect automation create --from-file flows/automations.yaml`"
    detail = f"there is no automation {CRASH_AUTOMATION}: a run whose process is gone stays Running"
    return Finding("warning", "crashed runs", detail, remedy)
