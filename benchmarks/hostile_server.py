"""A maker at a server that answers badly, killed ten times: what is lost, doubled, or paid twice.

    python -m benchmarks.hostile_server [--rows 4200] [--kills 10] [--out FILE]

The server's replies follow from what it is asked: 3 % each are empty, of empty lines, JSON in a
fence, JSON with a trailing comma, or decline. Of first attempts 2 % are hung up on and 2 % are
answered 429 with Retry-After. The maker is Evol-Instruct with one round and a judge, three steps,
some 10,000 requests. It runs in a process that is killed with SIGKILL at moments drawn by a seed,
and started again until it ends; then once more in a fresh workspace that nothing kills. Compared
are the tables of both. The server counts the whole answers that it sent to each request: more than
one is paid twice. It can happen to the requests under way in the moment of a kill, 16 at most: a
server cannot know that who asked is gone.
"""

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.made_rows import begin_maker
from benchmarks.running import RESULTS, machine_facts, write_result
from pipeline.generation.make import make_rows
from pipeline.progress import tell_nobody
from storage.conversations import content_hash
from storage.database import read_workspace
from storage.workspace import Workspace
from tests.fake_endpoint import Canned, completion, serve

CONCURRENCY = 16

GARBAGE = {
    "empty": "",
    "empty lines": "\n\n \n",
    "fenced JSON": '```json\n{"answer": "x"}\n```',
    "trailing comma": '{"answer": "x",}',
    "refusal": "I'm sorry, but I cannot assist with that.",
}

OF_EACH = 0.03

HUNG_UP, TOO_MANY = 0.02, 0.02

TABLES = {
    "rows": "select example_id, messages, origin from examples",
    "attempts": "select parent_id, attempt, state, detail, example_id from generation_attempts",
    "lineage": "select example_id, parent_id, method from lineage",
    "calls": "select source_id, stage, attempt, kind, outcome, reason from maker_calls",
}


class HostileModel:
    """Answers by what it is asked, and counts what it sent."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        """Request → whole answers."""
        self.attempts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._lock = Lock()

    def respond(
        self, method: str, path: str, headers: dict[str, str], content: bytes
    ) -> Canned | None:
        """The reply to one request."""
        if method == "GET":
            return Canned(body={"data": [{"id": "m"}]})
        body = json.loads(content)
        text = str(body["messages"][-1]["content"])
        if text == "Hello":  # asks only whether the server is there
            return completion("Hello")
        name = content_hash(body)
        with self._lock:
            self.attempts[name] += 1
            first = self.attempts[name] == 1
            drawn = share_of(name, "connection")
            if first and drawn < HUNG_UP:
                self.refused["hung up"] += 1
                return Canned(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")
            if first and drawn < HUNG_UP + TOO_MANY:
                self.refused["429"] += 1
                return Canned(429, {"error": "slow down"}, {"Retry-After": "0.1"})
            self.sent[name] += 1
        return completion(reply_to(text, name))


def share_of(name: str, of: str) -> float:
    """A number in [0, 1) by a hash."""
    return int(content_hash([name, of])[:13], 16) / 16**13


def reply_to(text: str, name: str) -> str:
    """Garbage of some kind, or what was asked for."""
    kind = int(share_of(name, "garbage") / OF_EACH)
    if kind < len(GARBAGE):
        return [*GARBAGE.values()][kind]
    if "Reply with one word" in text:
        return "no"
    given = text.partition("Given prompt:\n")[2].partition("\n\n")[0]
    return f"{given} Say also what {name[:6]} is." if given else f"It is {name[:9]} and no more."


def block_for(url: str) -> dict[str, object]:
    """The maker as a recipe has it."""
    endpoint = {"base_url": url, "max_concurrency": CONCURRENCY}
    return {"method": "evol_instruct", "rounds": 1, "model": "m", "endpoint": endpoint}


def make_at(folder: Path, url: str) -> None:
    """What the process does that is killed."""
    sources = [{"path": str(folder.parent / "rows.jsonl")}]
    run, maker = begin_maker({"sources": sources, "generate": [block_for(url)]}, folder)
    make_rows(run, maker, tell_nobody)


def run_until_done(folder: Path, url: str, model: HostileModel, kills: list[int]) -> int:
    """Run it, killed after so many answers each time; how often it was started."""
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.hostile_server", "--make", str(folder), url]
    for starts, answers in enumerate([*kills, 0], start=1):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        before = model.sent.total()
        while process.poll() is None:
            if answers and model.sent.total() - before >= answers:
                process.kill()
            time.sleep(0.002)
        if process.returncode == 0:
            return starts
        if not answers:
            raise RuntimeError(f"it ended with {process.returncode}")
    raise AssertionError


def content_of(folder: Path) -> dict[str, list[Any]]:
    """The tables of a workspace, in one order."""
    with read_workspace(Workspace(folder / "w")) as con:
        return {
            name: con.execute(f"{query} order by all").fetchall() for name, query in TABLES.items()
        }


def outcomes(tables: Mapping[str, list[Any]]) -> dict[str, int]:
    """Calls by what became of them."""
    found = Counter(f"{outcome} {reason}" for *_, outcome, reason in tables["calls"])
    return dict(found.most_common())


def main() -> None:
    """Measure, and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "hostile_server.json")
    given = parser.parse_args()
    if given.make:
        make_at(Path(given.make[0]), given.make[1])
        return
    killed, peaceful = HostileModel(), HostileModel()
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prompts = (f"Tell what number {n} is good for, and why." for n in range(given.rows))
        rows = "\n".join(json.dumps({"prompt": prompt}) for prompt in prompts)
        (folder / "rows.jsonl").write_text(rows)
        most = 2 * given.rows // max(1, given.kills)
        kills = [draw.randrange(1, most) for _ in range(given.kills)]
        tables = {}
        for case, model, at in (("killed", killed, kills), ("peaceful", peaceful, [])):
            # What is printed of connections that a killed client left is no finding.
            with (
                redirect_stderr(io.StringIO()),
                serve(lambda body, attempt: Canned(500), model.respond) as server,
            ):
                starts = run_until_done(folder / case, server.base_url, model, at)
            tables[case] = content_of(folder / case)
            if case == "killed":
                started = starts
    twice = [name for name, count in killed.sent.items() if count > 1]
    calls = tables["killed"]["calls"]
    result = {
        "requests": len(killed.sent),
        "starts": started,
        "kills at answers": kills,
        "refused": dict(killed.refused),
        "calls": len(calls),
        "outcomes": outcomes(tables["killed"]),
        "requests without an outcome": len(killed.sent) - len(calls),
        "rows made": sum(attempt[4] is not None for attempt in tables["killed"]["attempts"]),
        "tables that differ from the run in peace": [
            table for table in TABLES if tables["killed"][table] != tables["peaceful"][table]
        ],
        "paid twice": len(twice),
        "under way at kills, at most": CONCURRENCY * (started - 1),
        "paid twice in peace": sum(count > 1 for count in peaceful.sent.values()),
        "machine": machine_facts(["duckdb", "httpx"]),
    }
    write_result(given.out, result)


if __name__ == "__main__":
    main()
