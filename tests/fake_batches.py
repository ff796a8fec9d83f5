"""The files and batches of an OpenAI-compatible server, beside requests that are answered at once.

A batch goes on by one step each time it is looked at: validating, in_progress, finalizing, and its
end. What it answers is what `respond` says to each request: a status of 200 goes to the file of
outputs, any other to that of errors. The lines come in another order than they went.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from tests.fake_endpoint import Body, Canned, FakeEndpoint, serve

STEPS = ("validating", "in_progress", "finalizing")

FIELDS = {"input_file_id", "endpoint", "completion_window", "metadata"}


@dataclass
class FakeBatches:
    """What such a server has, and how it is to behave."""

    respond: Callable[[Body, int], Canned]
    done_before_expiry: int | None = None
    """Requests that a batch comes to before its time is over; None: to all."""
    ends: str = "completed"
    """How the next batch ends; set back to completed by it."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """What a failed batch says of itself."""
    lost_replies: int = 0
    """Batches that are made, and whose maker is told nothing: the connection ends."""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    """custom_id → how often it was answered, and paid for."""

    def route(
        self, method: str, path: str, headers: dict[str, str], content: bytes
    ) -> Canned | None:
        """The reply, where it is a call about files or batches."""
        place, _, query = path.removeprefix("/v1/").partition("?")
        if (method, place) == ("POST", "files"):
            return self.take_file(headers, content)
        if (method, place) == ("POST", "batches"):
            return self.make_batch(json.loads(content))
        if (method, place) == ("GET", "batches"):
            return self.list_batches(query)
        if found := re.fullmatch(r"batches/([\w-]+)", place):
            return self.look_at(found[1])
        if found := re.fullmatch(r"files/([\w-]+)/content", place):
            lines = self.files.get(found[1])
            return Canned(404, {"error": {}}) if lines is None else Canned(body=lines)
        return None

    def take_file(self, headers: dict[str, str], content: bytes) -> Canned:
        kind = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        parts = list(BytesParser(policy=HTTP).parsebytes(kind + content).iter_parts())
        sent = {
            part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True)
            for part in parts
        }
        lines = sent.get("file")
        if sent.get("purpose") != b"batch" or not isinstance(lines, bytes):
            return Canned(400, {"error": {"code": "invalid_purpose"}})
        return Canned(body={"id": self.keep(lines), "object": "file"})

    def keep(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def make_batch(self, asked: dict[str, Any]) -> Canned:
        if asked.keys() - FIELDS or asked["completion_window"] != "24h":
            return Canned(400, {"error": {"code": "invalid_request"}})
        name = f"batch_{len(self.batches)}"
        made = {"id": name, "object": "batch", **asked, "status": STEPS[0]}
        self.batches[name] = made | {"output_file_id": None, "error_file_id": None}
        if self.lost_replies:
            self.lost_replies -= 1
            return Canned(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")
        return Canned(body=self.batches[name])

    def list_batches(self, query: str) -> Canned:
        """The newest first, as many as are asked for, behind the one that is named."""
        said = dict(each.split("=") for each in query.split("&"))
        newest = [*self.batches.values()][::-1]
        names = [each["id"] for each in newest]
        begin = names.index(said["after"]) + 1 if "after" in said else 0
        end = begin + int(said["limit"])
        return Canned(body={"data": newest[begin:end], "has_more": end < len(newest)})

    def look_at(self, name: str) -> Canned:
        if name not in self.batches:
            return Canned(404, {"error": {"code": "not_found"}})
        batch = self.batches[name]
        seen = dict(batch)
        if batch["status"] in STEPS:
            at = STEPS.index(batch["status"])
            if at + 1 < len(STEPS) and self.ends != "failed":
                batch["status"] = STEPS[at + 1]
            else:
                self.end(batch)
        return Canned(body=seen)

    def end(self, batch: dict[str, Any]) -> None:
        """Answer what a batch comes to."""
        batch["status"], self.ends = self.ends, "completed"
        if batch["status"] == "failed":
            batch["errors"] = {"object": "list", "data": self.errors}
            return
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert {(line["method"], line["url"]) for line in lines} == {("POST", batch["endpoint"])}
        most = self.done_before_expiry
        if most is not None and most < len(lines) and batch["status"] == "completed":
            batch["status"] = "expired"
        outputs: list[Body] = []
        errors: list[Body] = []
        for at, line in enumerate(lines):
            key = line["custom_id"]
            if most is not None and at >= most:
                told = {"code": f"batch_{batch['status']}", "message": "not done"}
                errors.append({"custom_id": key, "response": None, "error": told})
                continue
            self.asked[key] = self.asked.get(key, 0) + 1
            canned = self.respond(line["body"], self.asked[key] - 1)
            body = {"status_code": canned.status, "request_id": "r", "body": canned.body}
            said = {"id": "x", "custom_id": key, "response": body, "error": None}
            (outputs if canned.status == 200 else errors).append(said)
        for name, listed in (("output_file_id", outputs), ("error_file_id", errors)):
            if listed:
                batch[name] = self.keep("\n".join(map(json.dumps, listed[::-1])).encode())


@contextmanager
def serve_batches(batches: FakeBatches) -> Iterator[FakeEndpoint]:
    """Serve them beside what is answered at once."""
    with serve(batches.respond, batches.route) as server:
        yield server
