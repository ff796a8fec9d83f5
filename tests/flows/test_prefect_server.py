"""A real Prefect server, real process workers and the deployments of prefect.yaml: a team's day.

One server, with the two pools and a worker for each, serves the whole module. The target is a model
of two layers, so that a run takes seconds; most of the time goes into starting processes.
"""

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import orjson
import psutil
import pytest

from docs.docstrings import ROOT
from fine_tune.cost import TrainCost
from flows.approve_training import ASKED_EVENT
from flows.cli.environment import ENVIRONMENT
from flows.export_event import EXPORTED_EVENT
from storage.database import open_workspace, read_workspace
from storage.exports_check import verify_export
from storage.exports_manifest import read_manifest
from storage.workspace import Workspace
from tests.tiny_models import CHAT, save_tiny_llama

pytestmark = pytest.mark.slow

SENTINEL = "xylophone-of-the-vicar"
"""Stands in rows that are kept, dropped and broken; nothing but the workspace may hold it."""

RECIPE = """
name: small
workspace: work
seed: 1
target: ./model
tolerated_bad_rows: 0.5
sources: [{path: rows.jsonl, license: CC0-1.0}]
measure:
  tokens: {max_tokens: 128, control_tokens: keep}  # words of the rows are some of the toy's
  losses: {max_tokens: 128}
scores: [ifd, grape]
dedupe: [{method: minhash, keep: grape}]
select:
  held_out: 0.2
  steps:
    - {method: top_k, score: grape, budget: {rows: 10}}
train: {batch_rows: 2, lora_rank: 2, max_steps: 3}
"""

APPROVAL = "approve-training/approve-training"

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Server:
    """A server that runs, and how to talk to it."""

    url: str
    environment: dict[str, str]
    folder: Path
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def send(self, path: str, body: object = None) -> httpx.Response:
        """GET, or POST where there is a body; once more while the server is busy, as clients do."""
        deadline = time.monotonic() + 60
        while True:
            method = "GET" if body is None else "POST"
            answer = httpx.request(method, f"{self.url}{path}", json=body, timeout=120)
            if answer.status_code != 503 or time.monotonic() > deadline:
                assert answer.is_success, answer.text
                return answer
            time.sleep(0.5)

    def read(self, path: str, body: object = None) -> dict[str, Any]:
        found: dict[str, Any] = self.send(path, body).json()
        return found

    def rows(self, path: str, body: object = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.send(path, body).json()
        return found

    def command(self, *words: str) -> str:
        for attempt in range(5):
            done = subprocess.run(
                [sys.executable, "-m", "prefect", "--no-prompt", *words],
                cwd=ROOT,
                env=self.environment,
                capture_output=True,
                text=True,
            )
            if "503 Service Unavailable" not in done.stderr:
                break
            time.sleep(2**attempt)  # its database is busy, and so is the machine
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_worker(self, pool: str) -> None:
        with (self.folder / f"{pool}.log").open("ab") as log:
            self.workers[pool] = subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def deployment(self, name: str) -> str:
        return str(self.read(f"/deployments/name/{name}")["id"])

    def trigger(self, name: str, **parameters: object) -> str:
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        made = self.read(f"/deployments/{self.deployment(name)}/create_flow_run", body)
        return str(made["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        return self.read(f"/flow_runs/{run_id}")

    def runs_of(self, name: str) -> list[dict[str, Any]]:
        """All runs of a deployment, the newest first."""
        body = {
            "deployments": {"id": {"any_": [self.deployment(name)]}},
            "sort": "ID_DESC",
        }
        return self.rows("/flow_runs/filter", body)

    def wait_for(self, run_id: str, wanted: str, seconds: float = 300) -> dict[str, Any]:
        """Wait until a run is in a state; fail at once if it ends in another."""
        found: dict[str, Any] = {}

        def there() -> bool:
            nonlocal found
            found = self.run(run_id)
            state = found["state_type"]
            assert state == wanted or state not in FINAL, (found["state"], self.logs())
            return bool(state == wanted)

        wait_until(there, seconds, lambda: f"{found['name']} is {found['state']}\n{self.logs()}")
        return found

    def logs(self) -> str:
        entries = self.rows("/logs/filter", {"limit": 200})
        return "\n".join(each["message"] for each in entries)

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        body = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        return {each["key"]: each for each in self.rows("/artifacts/filter", body)}


def wait_until(
    there: Callable[[], bool], seconds: float, complain: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, complain()
        time.sleep(0.2)  # between questions to a server that offers no event to wait for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and of all that it started."""
    for each in [*psutil.Process(process.pid).children(recursive=True)]:
        each.send_signal(signal.SIGKILL)
    process.kill()
    process.wait()


def serve(folder: Path, database: dict[str, str], pools: tuple[str, ...]) -> Iterator[Server]:
    """A server with everything deployed, and a worker for each of the pools."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    # A run's pulse is what its deployment says, not what its worker was started with.
    not_ours = ("PYTHONPATH", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY")
    environment = {
        **{k: v for k, v in (os.environ | ENVIRONMENT).items() if k not in not_ours},
        **database,
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": url,
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",  # a minute by default
        # 15 by default: on a busy machine a run that waits for its paused pool would be Late.
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "600",
        "SLUICE_HOME": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    server = Server(url, environment, folder)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: answers(url), 180, (folder / "server.log").read_text)
        for pool in ("sluice", "gpu"):
            server.command("work-pool", "create", pool, "--type", "process")
        server.command("deploy", "--all")
        server.command("automation", "create", "--from-file", "flows/automations.yaml")
        for pool in pools:
            server.start_worker(pool)
        yield server
    finally:
        for worker in server.workers.values():
            if worker.poll() is None:
                kill_tree(worker)
        kill_tree(process)


def write_project(folder: Path) -> Path:
    """Rows to learn from, two of them broken, and the recipe for them."""
    folder.mkdir()
    rows = []
    for n in range(40):
        words = " ".join(str((5 * n + at) % 200) for at in range(8))
        rows.append({"prompt": f"{SENTINEL} {n} {words}", "completion": f"{SENTINEL} {words} {n}"})
    broken = [f'{{"prompt": "{SENTINEL}', orjson.dumps({"unknown": SENTINEL}).decode()]
    lines = [orjson.dumps(row).decode() for row in rows]
    (folder / "rows.jsonl").write_text("\n".join([*lines, *broken]))
    (folder / "recipe.yaml").write_text(RECIPE)
    save_tiny_llama(folder / "model", chat_template=CHAT)
    return folder


def ask(project: Path, query: str) -> list[tuple[Any, ...]]:
    with read_workspace(Workspace(project / "work")) as con:  # waits while a run writes
        return con.execute(query).fetchall()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve(tmp_path_factory.mktemp("server"), {}, ("sluice", "gpu"))


class Inbox(BaseHTTPRequestHandler):
    """Where the notifications go; a chat's webhook in life."""

    got: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@pytest.fixture(scope="module")
def inbox(server: Server) -> Iterator[list[str]]:
    """What is told by the automations of flows/notifications.yaml, made as the docs have it."""
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Inbox)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    block = (
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block\n"
        f"url = 'http://127.0.0.1:{receiver.server_port}'\n"
        "data = {'text': '{{subject}} {{body}}'}\n"
        "print(Block(name='w', url=url, json_data=data).save('sluice'))"
    )
    made = subprocess.run(
        [sys.executable, "-c", block],
        cwd=ROOT,
        env=server.environment,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    text = (ROOT / "flows" / "notifications.yaml").read_text(encoding="utf-8")
    file = server.folder / "notifications.yaml"
    file.write_text(text.replace("BLOCK-ID", made.stdout.strip()))
    server.command("automation", "create", "--from-file", str(file))
    yield Inbox.got
    receiver.shutdown()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("team") / "project")


@pytest.fixture(scope="module")
def nightly(server: Server, project: Path, inbox: list[str]) -> str:
    """A run of the nightly deployment, triggered by hand and completed."""
    run_id = server.trigger(
        "curate-file/nightly", recipe_file=str(project / "recipe.yaml"), until="export"
    )
    server.wait_for(run_id, "COMPLETED")
    return run_id


def export_of(project: Path) -> Path:
    ((path,),) = ask(project, "select path from exports")
    return project / "work" / str(path)


@pytest.fixture(scope="module")
def killed(server: Server, project: Path, nightly: str) -> tuple[str, float]:
    """A training killed with its worker, and when; other tests go on meanwhile."""
    endless = {"max_steps": 1_000_000, "batch_rows": 2, "lora_rank": 2}
    asked = {"export": str(export_of(project)), "target": str(project / "model")}
    run_id = server.trigger("fine-tune/fine-tune", **asked, train=endless)
    server.wait_for(run_id, "RUNNING")
    body = {
        "filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run_id}"]},
        }
    }
    beats = lambda: bool(server.read("/events/filter", body)["events"])  # noqa: E731
    wait_until(beats, 180, server.logs)
    kill_tree(server.workers["gpu"])
    return run_id, time.time()


def test_a_triggered_run_leaves_a_selection_and_an_export(
    server: Server, project: Path, nightly: str
) -> None:
    assert server.run(nightly)["name"].startswith("recipe, up to export, 20")
    kinds = dict(
        ask(project, "select kind, rows from run_selections join selections using (selection_id)")
    )
    assert kinds["choice"] == kinds["random"] == kinds["length_matched"] == 10
    export = export_of(project)
    assert verify_export(export) == []
    assert read_manifest(export).counts("train").rows == 10


def test_the_page_shows_what_was_done(server: Server, project: Path, nightly: str) -> None:
    body = {"flow_runs": {"id": {"any_": [nightly]}}}
    names = {each["name"] for each in server.rows("/task_runs/filter", body)}
    stages = {"read the sources", "ingest", "measure", "score", "dedupe", "select", "export"}
    assert stages | {"measure losses 1 of 1, 40 rows"} <= names
    shown = server.artifacts(nightly)
    assert {each["type"] for each in shown.values()} == {"table", "markdown", "progress"}
    funnel = orjson.loads(shown["small-funnel"]["data"])
    assert (funnel[0]["rows in"], funnel[0]["rows kept"]) == (42, 40)
    assert funnel[0]["left, by reason"].startswith("quarantined 2 (")
    assert funnel[-1]["rows kept"] == 10
    start, _, encoded = shown["small-scores"]["data"].partition("base64,")
    assert start.endswith("(data:image/png;")
    picture = base64.b64decode(encoded.removesuffix(")"))
    (file,) = (project / "work" / "reports").glob("*.png")
    assert picture == file.read_bytes()
    assert str(export_of(project)) in shown["small-export"]["data"]
    assert "| train | 10 |" in shown["small-export"]["data"]
    assert shown["small-measuring-losses"]["data"] == 100.0


@pytest.fixture(scope="module")
def waiting(server: Server, nightly: str) -> tuple[str, float]:
    """The question that the night's export led to, and since when it has waited."""
    wait_until(lambda: bool(server.runs_of(APPROVAL)), 180, server.logs)
    (run,) = server.runs_of(APPROVAL)
    asked = server.wait_for(run["id"], "PAUSED")
    assert asked["name"].startswith("approve training on choice-")
    return run["id"], time.monotonic()


def shown_to_decide_by(server: Server, run_id: str) -> str:
    """What the page shows beside a question; it is stored after the state."""
    found: list[str] = []

    def there() -> bool:
        stored = server.rows(
            f"/flow_runs/{run_id}/input/filter", {"prefix": "suspended-approval-", "limit": 9}
        )
        found[:] = [each["value"] for each in stored if each["key"].endswith("-description")]
        return bool(found)

    wait_until(there, 60, server.logs)
    return found[0]


def test_a_no_ends_a_question_and_trains_nothing(
    server: Server, project: Path, waiting: tuple[str, float]
) -> None:
    asked = {"export": str(export_of(project)), "target": str(project / "model")}
    run_id = server.trigger(APPROVAL, **asked)
    server.wait_for(run_id, "PAUSED")
    answer = {"run_input": {"answer": "no", "reason": "not this week"}}
    server.send(f"/flow_runs/{run_id}/resume", answer)
    refused = server.wait_for(run_id, "CANCELLED")
    assert refused["state"]["message"] == "Not approved: not this week"
    assert not server.runs_of("fine-tune/fine-tune")


def test_an_approved_training_is_written_into_the_workspace(
    server: Server, project: Path, nightly: str, waiting: tuple[str, float]
) -> None:
    export = export_of(project)
    # A second question about the same export, as by hand: its answer starts the same training.
    asked = {"export": str(export), "target": str(project / "model")}
    run_id = server.trigger(APPROVAL, **asked)
    server.wait_for(run_id, "PAUSED")
    shown = shown_to_decide_by(server, run_id)
    assert "| train | 10 |" in shown and "What the selection is worth" in shown
    for answer in ({}, {"reason": "looks good"}, {"answer": "perhaps"}):
        told = server.read(f"/flow_runs/{run_id}/resume", {"run_input": answer})
        assert told["status"] != "ACCEPT", "no answer was given"
    server.send(f"/flow_runs/{run_id}/resume", {"run_input": {"answer": "yes"}})
    server.wait_for(run_id, "COMPLETED")
    (trained,) = server.runs_of("fine-tune/fine-tune")
    server.wait_for(trained["id"], "COMPLETED")
    page = server.artifacts(trained["id"])
    assert page["small-training-progress"]["data"] == 100.0
    assert "| rows trained on | 6 |" in page["small-training"]["data"]
    wait_until(lambda: bool(server.runs_of("record-training/record-training")), 180, server.logs)
    (record,) = server.runs_of("record-training/record-training")
    server.wait_for(record["id"], "COMPLETED")
    query = "select trial_id, export_id, adapter, report, cost from trials"
    ((trial_id, export_id, adapter, report, cost),) = ask(project, query)
    assert export_id == read_manifest(export).export_id
    assert adapter == f"models/adapter-{trial_id}"
    assert orjson.loads(report)["steps"] == 3
    stored = orjson.loads((project / "work" / adapter / "report.json").read_bytes())
    assert orjson.loads(report) == stored
    costs = TrainCost.model_validate_json(cost)
    assert (costs.executions, costs.rows) == (1, 6) and costs.seconds > 0


def test_a_person_is_told_of_questions_and_of_runs_that_fail(
    server: Server, project: Path, waiting: tuple[str, float], inbox: list[str]
) -> None:
    wait_until(lambda: any(waiting[0] in each for each in inbox), 60, server.logs)
    (asked,) = (each for each in inbox if waiting[0] in each)
    assert "Sluice asks: approve training on choice-" in asked
    lost = server.trigger("curate-file/nightly", recipe_file=str(project / "none.yaml"))
    failed = server.wait_for(lost, "FAILED")
    assert "none.yaml" in failed["state"]["message"]
    wait_until(lambda: any(lost in each for each in inbox), 60, server.logs)
    (told,) = (each for each in inbox if lost in each)
    assert "there is no such file" in told
    logs = server.rows("/logs/filter", {"logs": {"flow_run_id": {"any_": [lost]}}})
    text = "\n".join(each["message"] for each in logs)
    assert "there is no such file" in text and "Traceback" not in text


def test_an_unchanged_night_asks_nobody_again(
    server: Server, project: Path, nightly: str, waiting: tuple[str, float]
) -> None:
    before = len(server.runs_of(APPROVAL))
    given = {"recipe_file": str(project / "recipe.yaml"), "until": "export"}
    server.wait_for(server.trigger("curate-file/nightly", **given), "COMPLETED")
    events = {"filter": {"event": {"name": [EXPORTED_EVENT]}}}
    assert len(server.read("/events/filter", events)["events"]) == 1
    assert len(server.runs_of(APPROVAL)) == before


def test_a_trained_export_is_not_asked_about_again(
    server: Server, project: Path, nightly: str
) -> None:
    asked = {"export": str(export_of(project)), "target": str(project / "model")}
    server.wait_for(server.trigger(APPROVAL, **asked), "COMPLETED")
    assert len(server.runs_of("fine-tune/fine-tune")) == 1


def test_a_question_waits_for_longer_than_a_pulse_may_be_missing(
    server: Server, waiting: tuple[str, float]
) -> None:
    run_id, since = waiting
    window = 90  # seconds, of the automation that looks for runs without a pulse
    time.sleep(max(0.0, since + window + 35 - time.monotonic()))
    assert server.run(run_id)["state_name"] == "Suspended"
    of_it = {"resource": {"id": [f"prefect.flow-run.{run_id}"]}}
    for name in ("prefect.flow-run.heartbeat", ASKED_EVENT):
        wanted = {**of_it, "event": {"name": [name]}}
        assert server.read("/events/filter", {"filter": wanted})["events"], name
    # By now the training is done, on another question's answer: this one starts no second one.
    before = len(server.runs_of("fine-tune/fine-tune"))
    server.send(f"/flow_runs/{run_id}/resume", {"run_input": {"answer": "yes"}})
    server.wait_for(run_id, "COMPLETED")
    assert len(server.runs_of("fine-tune/fine-tune")) == before


def test_a_lost_event_loses_no_training(server: Server, project: Path, nightly: str) -> None:

    def told() -> bool:
        records = server.runs_of("record-training/record-training")
        return len(records) == 1 and all(each["state_type"] in FINAL for each in records)

    wait_until(told, 180, server.logs)
    before = ask(project, "select * from trials")
    with open_workspace(Workspace(project / "work")) as con:
        con.execute("delete from trials")
    again = server.trigger(
        "curate-file/nightly", recipe_file=str(project / "recipe.yaml"), until="ingest"
    )
    server.wait_for(again, "COMPLETED")
    assert ask(project, "select * from trials") == before


def test_the_report_puts_it_on_a_page_again(server: Server, project: Path, nightly: str) -> None:
    (run,) = ask(project, "select distinct run_id from run_selections")[0]
    run_id = server.trigger("report/report", workspace=str(project / "work"), run_id=run)
    server.wait_for(run_id, "COMPLETED")
    first, again = server.artifacts(nightly), server.artifacts(run_id)
    for key in ("small-funnel", "small-scores", "small-export"):
        assert again[key]["data"] == first[key]["data"]


def test_a_schedule_really_fires(server: Server, project: Path, killed: tuple[str, float]) -> None:
    command = [str(Path(sys.executable).parent / "sluice"), "deploy", str(project / "recipe.yaml")]
    told = subprocess.run(command, env=server.environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout == (
        f"curate-file/nightly-small: {project / 'recipe.yaml'}, at 0 3 * * * UTC\n"
    )
    deployment = server.deployment("curate-file/nightly-small")
    (kept,) = server.rows(f"/deployments/{deployment}/schedules")
    assert kept["schedule"]["cron"] == "0 3 * * *" and kept["active"]
    given = {"recipe_file": str(project / "recipe.yaml"), "until": "ingest"}
    soon = {
        "schedule": {"interval": 10, "anchor_date": "2026-01-01T00:00:00Z"},
        "active": True,
        "parameters": given,
    }
    (added,) = server.rows(f"/deployments/{deployment}/schedules", [soon])

    done = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {
            "state": {"type": {"any_": ["COMPLETED"]}},
            "tags": {"all_": ["auto-scheduled"]},
        },
    }
    assert server.rows("/flow_runs/filter", done) == []
    try:
        wait_until(lambda: bool(server.rows("/flow_runs/filter", done)), 180, server.logs)
    finally:
        httpx.delete(f"{server.url}/deployments/{deployment}/schedules/{added['id']}", timeout=30)
        # On a busy machine more were due than could run: those that wait would go before the rest.
        due = {**done, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        for waiting in server.rows("/flow_runs/filter", due):
            if waiting["parameters"] == given:
                httpx.delete(f"{server.url}/flow_runs/{waiting['id']}", timeout=30)


@pytest.fixture(scope="module")
def two_nights(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project that ran, got a file edited and one more, and ran again; and the second run."""
    project = write_project(tmp_path_factory.mktemp("nights") / "project")
    file = str(project / "recipe.yaml")
    text = RECIPE.replace("path: rows.jsonl", 'path: "*.jsonl"').replace("name: small", "name: two")
    (project / "recipe.yaml").write_text(text)
    for night in range(2):
        if night:
            row = {"prompt": f"{SENTINEL} 199", "completion": "1 2 3"}
            (project / "new.jsonl").write_bytes(orjson.dumps(row))
            _, *rest = (project / "rows.jsonl").read_text().splitlines()
            (project / "rows.jsonl").write_text("\n".join(rest))
        run_id = server.trigger("curate-file/nightly", recipe_file=file, until="select")
        server.wait_for(run_id, "COMPLETED")
    return project, run_id


def test_a_night_reads_what_is_new_and_says_what_changed(
    server: Server, two_nights: tuple[Path, str]
) -> None:
    project, run_id = two_nights
    changes = server.artifacts(run_id)["two-changes"]["data"]
    assert "- examples: 1 new, 1 retired, 39 as before" in changes
    assert "| ../new.jsonl | new | 1 | 1 | 0 |" in changes
    assert "| ../rows.jsonl | edited | 41 | 0 | 1 |" in changes
    asked = "select rows from shards join measures using (measure_key) where measure = 'losses'"
    assert sorted(ask(project, asked)) == [(1,), (40,)]


def submit_backfill(server: Server, recipe: Path) -> str:
    command = [str(Path(sys.executable).parent / "sluice"), "backfill", str(recipe), "--submit"]
    told = [*command, "--scorer", "ifd", "--try", "0"]
    done = subprocess.run(
        told, cwd=recipe.parent, env=server.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_a_backfill_is_submitted_once_and_done_by_the_worker(
    server: Server, two_nights: tuple[Path, str]
) -> None:
    project, _ = two_nights
    text = (project / "recipe.yaml").read_text()
    recipe = project / "other.yaml"
    recipe.write_text(text.replace("losses: {max_tokens: 128}", "losses: {max_tokens: 100}"))
    server.command("work-pool", "pause", "sluice")
    first, again = submit_backfill(server, recipe), submit_backfill(server, recipe)
    (run,) = server.runs_of("backfill/backfill")
    server.command("work-pool", "resume", "sluice")
    assert first == again and f": run {run['name']}, Scheduled" in first
    assert run["name"].startswith("backfill ifd of ")
    server.wait_for(run["id"], "COMPLETED")
    scored = "select count(*), count(value) from scores where scorer = 'ifd' and settings like ?"
    with read_workspace(Workspace(project / "work")) as con:
        keys = con.execute(
            "select measure_key from measures where settings like '%100%' and measure = 'losses'"
        ).fetchall()
        ((key,),) = keys
        assert con.execute(scored, [f"%{key}%"]).fetchall() == [(41, 41)]
    assert submit_backfill(server, recipe).endswith(": nothing is missing")
    assert len(server.runs_of("backfill/backfill")) == 1


def test_a_killed_worker_leaves_no_run_that_runs_for_ever(
    server: Server, killed: tuple[str, float]
) -> None:
    run_id, since = killed
    crashed = server.wait_for(run_id, "CRASHED", seconds=120)
    assert "No pulse" in crashed["state"]["message"]
    when = datetime.fromisoformat(crashed["state"]["timestamp"]).timestamp()
    assert when - since < 120


def test_no_row_is_told_to_the_server(server: Server, project: Path, nightly: str) -> None:
    assert SENTINEL in (export_of(project) / "train.jsonl").read_text()
    for kind in ("logs", "artifacts", "flow_runs", "task_runs"):
        seen = 0
        while page := server.rows(f"/{kind}/filter", {"offset": seen}):
            assert SENTINEL not in orjson.dumps(page).decode(), kind
            seen += len(page)
        assert seen, kind
    events = server.read("/events/filter", {"filter": {}})
    while True:
        assert SENTINEL not in orjson.dumps(events).decode()
        if not events["next_page"]:
            break
        events = httpx.get(events["next_page"], timeout=30).json()
    for log in server.folder.glob("*.log"):
        assert SENTINEL not in log.read_text()


# Postgres

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def as_postgres(*words: str) -> list[str]:
    """A command as a user that Postgres agrees to run as; it refuses root."""
    return [*(["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []), *words]


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of a database of its own."""
    if not BINARIES:
        pytest.skip("no Postgres in /usr/lib/postgresql: install Debian's package `postgresql`")
    if os.getuid() == 0 and not shutil.which("runuser"):
        pytest.skip("Postgres refuses to run as root, and there is no runuser")
    port, binaries = free_port(), BINARIES[-1]
    made = subprocess.run(as_postgres("mktemp", "-d"), check=True, capture_output=True, text=True)
    folder = made.stdout.strip()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    initdb = as_postgres(str(binaries / "initdb"), "-D", f"{folder}/data", "-A", "trust")
    control = as_postgres(str(binaries / "pg_ctl"), "-D", f"{folder}/data", "-w")
    subprocess.run(initdb, **quiet)  # type: ignore[call-overload]
    subprocess.run([*control, "-o", options, "-l", f"{folder}/log", "start"], **quiet)  # type: ignore[call-overload]
    try:
        yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)  # type: ignore[call-overload]
        subprocess.run(as_postgres("rm", "-r", folder), **quiet)  # type: ignore[call-overload]


def test_the_same_on_postgres(postgres: str, tmp_path: Path) -> None:
    database = {"PREFECT_API_DATABASE_CONNECTION_URL": postgres}
    project = write_project(tmp_path / "project")
    for server in serve(tmp_path, database, ("sluice",)):
        recipe = str(project / "recipe.yaml")
        run_id = server.trigger("curate-file/nightly", recipe_file=recipe, until="export")
        server.wait_for(run_id, "COMPLETED")
        assert verify_export(export_of(project)) == []
        assert "small-funnel" in server.artifacts(run_id)
        assert not list((tmp_path / "home").glob("*.db"))
