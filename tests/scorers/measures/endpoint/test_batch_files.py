"""Batches of a server that behaves like the real one: partial failures, kills, lost replies."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scorers.measures.endpoint import batch_files
from scorers.measures.endpoint.batch_files import NOTES, read_notes
from scorers.measures.endpoint.client import BatchUse, EndpointSettings, ServerLostError
from scorers.measures.endpoint.reply import JsonReply, Reply
from scorers.measures.endpoint.request_cache import post_once
from scorers.measures.protocols import GenerationFailure
from tests.fake_batches import FakeBatches, serve_batches
from tests.fake_endpoint import Body, Canned, serve

pytestmark = pytest.mark.slow  # a server is asked

BODIES: list[JsonReply] = [{"row": row} for row in range(6)]

AT_ONCE = BatchUse(poll_seconds=0)


def say(body: Body, attempt: int) -> Canned:
    """Row 1 is too long, row 2 is refused, row 3 is not for now at first."""
    if body["row"] == 1:
        return Canned(400, {"error": {"message": "maximum length is 9", "code": "x"}})
    if body["row"] == 2:
        return Canned(422, {"error": {"code": "bad_form"}})
    if body["row"] == 3 and not attempt:
        return Canned(429, {"error": {}})
    return Canned(body={"row": body["row"], "attempt": attempt})


def fine(body: Body, attempt: int) -> Canned:
    return Canned(body={"row": body["row"]})


def settings_of(url: str, cache: Path, **changes: Any) -> EndpointSettings:  # noqa: ANN401
    settings = EndpointSettings(url, "m", retries=2, backoff_seconds=0.001, cache=cache)
    return replace(settings, **{"batch": AT_ONCE, **changes})


def ask(settings: EndpointSettings, bodies: list[JsonReply] = BODIES) -> list[str | object]:
    """What each row came to: the row of its reply, or the reason of its failure."""

    def read(at: int, reply: Reply) -> object:
        return reply.reason if isinstance(reply, GenerationFailure) else reply["row"]

    return post_once(settings, "chat/completions", bodies, read, lambda reply: "row" in reply)


def test_each_request_comes_to_its_own_end_and_is_asked_once_for_all(tmp_path: Path) -> None:
    batches = FakeBatches(say)
    with serve_batches(batches) as server:
        settings = settings_of(server.base_url, tmp_path)
        wanted = [0, "context_length", "http_422", 3, 4, 5]
        assert ask(settings) == wanted
        assert sorted(batches.asked.values()) == [1, 1, 1, 1, 1, 2], "the 429 alone goes again"
        assert len(batches.batches) == 2 and not server.received, "nothing is asked one by one"
        assert ask(settings) == wanted, "kept, but for the two that failed"
    assert sorted(batches.asked.values()) == [1, 1, 1, 2, 2, 2]
    assert not list((tmp_path / NOTES).glob("*")), "no note is left"


def test_what_expired_goes_again_and_is_given_up_at_last(tmp_path: Path) -> None:
    batches = FakeBatches(fine, done_before_expiry=2)
    with serve_batches(batches) as server:
        assert ask(settings_of(server.base_url, tmp_path / "a")) == [0, 1, 2, 3, 4, 5]
        assert [len(lines.splitlines()) for lines in batches.files.values()][:2] == [6, 2]
        assert len(batches.batches) == 3
        batches.done_before_expiry = 0
        given_up = ask(settings_of(server.base_url, tmp_path / "b"))
    assert given_up == ["batch_expired"] * 6 and len(batches.batches) == 3 + 3


def test_files_are_cut_by_requests_and_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = FakeBatches(fine)
    with serve_batches(batches) as server:
        few = BatchUse(poll_seconds=0, most_requests=4)
        assert ask(settings_of(server.base_url, tmp_path / "a", batch=few)) == [*range(6)]
        line = len(next(iter(batches.files.values())).splitlines()[0]) + 1
        monkeypatch.setattr(batch_files, "MOST_FILE_BYTES", 2 * line)
        assert ask(settings_of(server.base_url, tmp_path / "b")) == [*range(6)]
    sent = [batches.files[each["input_file_id"]] for each in batches.batches.values()]
    assert [len(lines.splitlines()) for lines in sent] == [4, 2, 2, 2, 2]


@pytest.mark.parametrize("ends", ["failed", "cancelled"])
def test_a_batch_that_failed_or_was_cancelled_ends_the_run_and_keeps_what_it_answered(
    tmp_path: Path, ends: str
) -> None:
    told = [{"code": "token_limit_exceeded", "message": "a prompt", "line": None}]
    batches = FakeBatches(fine, done_before_expiry=2, ends=ends, errors=told)
    with serve_batches(batches) as server:
        settings = settings_of(server.base_url, tmp_path)
        batches.done_before_expiry = None if ends == "failed" else 2
        with pytest.raises(ServerLostError, match=f"batch batch_0 is {ends}.*same command") as lost:
            ask(settings)
        assert ("token_limit_exceeded" in str(lost.value)) == (ends == "failed")
        assert "a prompt" not in str(lost.value)
        batches.done_before_expiry = None
        assert ask(settings) == [*range(6)]
    assert [*batches.asked.values()] == [1] * 6


def test_lines_that_a_batch_is_refused_for_fail_and_the_others_go_again(tmp_path: Path) -> None:
    batches = FakeBatches(fine, ends="failed", errors=[{"code": "invalid_url", "line": 2}])
    with serve_batches(batches) as server:
        assert ask(settings_of(server.base_url, tmp_path)) == [0, "refused_in_batch", 2, 3, 4, 5]


def test_a_batch_whose_maker_was_told_nothing_is_found_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, "LISTED", 2)
    batches = FakeBatches(fine, lost_replies=1)
    with serve_batches(batches) as server:
        for n in range(5):  # newer ones than ours come first in the list
            batches.batches[f"other_{n}"] = {"id": f"other_{n}", "metadata": None}
        real = batches.make_batch

        def make_and_hide(asked: dict[str, Any]) -> Canned:
            made = real(asked)
            batches.batches |= {f"later_{n}": {"id": f"later_{n}"} for n in range(5)}
            return made

        batches.make_batch = make_and_hide  # type: ignore[method-assign]
        assert ask(settings_of(server.base_url, tmp_path)) == [*range(6)]
    assert sum("input_file_id" in each for each in batches.batches.values()) == 1


KILLED = """
import sys
from pathlib import Path
from scorers.measures.endpoint.client import BatchUse, EndpointSettings
from scorers.measures.endpoint.request_cache import post_once
batch = BatchUse(poll_seconds=0.05)
settings = EndpointSettings(sys.argv[1], "m", cache=Path(sys.argv[2]), batch=batch)
bodies = [{"row": row} for row in range(6)]
post_once(settings, "chat/completions", bodies, lambda at, reply: reply, bool)
"""


@pytest.mark.parametrize("at", ["POST files", "POST batches", "made", "GET batches", "GET files"])
def test_killed_anywhere_it_goes_on_with_the_batch_that_was_sent(tmp_path: Path, at: str) -> None:
    batches = FakeBatches(fine)
    running: list[subprocess.Popen[bytes]] = []

    def route(method: str, path: str, headers: dict[str, str], content: bytes) -> Canned | None:
        place = f"{method} {path.split('/')[2]}"
        if running and at == place:
            running.pop().send_signal(signal.SIGKILL)
            return Canned(500)
        canned = batches.route(method, path, headers, content)
        if running and at == "made" and place == "POST batches":
            running.pop().send_signal(signal.SIGKILL)
        return canned

    with serve(fine, route) as server:
        command = [sys.executable, "-c", KILLED, server.base_url, str(tmp_path)]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        assert running[0].wait(60) == -signal.SIGKILL
        # With more to ask than before: what was sent is not sent again.
        more: list[JsonReply] = [*BODIES, {"row": 6}]
        assert ask(settings_of(server.base_url, tmp_path), more) == [*range(7)]
    assert [*batches.asked.values()] == [1] * 7, "none is paid for twice"


def test_replies_that_nobody_waits_for_any_more_are_kept_all_the_same(tmp_path: Path) -> None:
    batches = FakeBatches(fine)
    with serve_batches(batches) as server:
        settings = settings_of(server.base_url, tmp_path)
        real = batches.look_at
        batches.look_at = lambda name: Canned(404, {})  # type: ignore[method-assign]
        with pytest.raises(ServerLostError, match="none is sent twice"):
            ask(settings)
        (note,) = read_notes(tmp_path / NOTES, "/v1/chat/completions")
        assert len(note.keys) == 6 and note.batch == "batch_0"
        batches.look_at = real  # type: ignore[method-assign]
        assert ask(settings, BODIES[:1]) == [0]
        assert ask(settings) == [*range(6)] and len(batches.batches) == 1


def test_result_lines_that_are_none_leave_their_requests_to_another_batch(tmp_path: Path) -> None:
    batches = FakeBatches(fine)
    spoilt = iter([True])
    real = batches.keep

    def keep(content: bytes) -> str:
        lines = content.splitlines()
        if b'"response"' in content and next(spoilt, False):
            odd = json.loads(lines[1]) | {"response": {"status_code": True}}
            strange = [b"garbage", b"[]", b'{"custom_id": "other"}', json.dumps(odd).encode()]
            lines = [*strange, *lines[2:]]
        return real(b"\n".join(lines))

    batches.keep = keep  # type: ignore[method-assign]
    with serve_batches(batches) as server:
        # The lines came backwards: that of row 5 is gone, that of row 4 has no status.
        assert ask(settings_of(server.base_url, tmp_path)) == [0, 1, 2, 3, "malformed_reply", 5]
    assert sorted(batches.asked.values()) == [1, 1, 1, 1, 1, 2]


def test_a_server_without_batches_is_told_so(tmp_path: Path) -> None:
    nothing: Any = lambda *_: Canned(404, {"error": {}})  # noqa: E731
    with serve_batches(FakeBatches(fine)) as server:
        server.respond = nothing
        batches = FakeBatches(fine)
        batches.route = nothing  # type: ignore[method-assign]
        with serve_batches(batches) as bare, pytest.raises(ServerLostError, match="leave `batch`"):
            ask(settings_of(bare.base_url, tmp_path))
    with pytest.raises(ValueError, match="need a folder of replies"):
        batch_files.post_batched(
            EndpointSettings("http://h/v1", "m", batch=AT_ONCE),
            batch_files.BatchJob("p", {"k": {}}, lambda key, reply: None, lambda key, reply: 0),
        )
