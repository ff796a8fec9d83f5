import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.reply import JsonReply
from scorers.measures.endpoint.request_cache import RequestCache, logger, post_once, request_key
from scorers.measures.protocols import GenerationFailure
from tests.fake_endpoint import Body, Canned, FakeEndpoint, as_it_is, serve

KILLED = """
import sys
from pathlib import Path
from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.request_cache import post_once
settings = EndpointSettings(sys.argv[1], "m", max_concurrency=1, cache=Path(sys.argv[2]))
post_once(settings, "p", [{"row": row} for row in range(4)], lambda at, reply: reply, bool)
"""


def settings(endpoint: FakeEndpoint, cache: Path) -> EndpointSettings:
    return EndpointSettings(endpoint.base_url, "m", retries=0, cache=cache)


def echo(body: Body, attempt: int) -> Canned:
    return Canned(body={**body, "attempt": attempt})


def bodies(count: int) -> list[Body]:
    return [{"row": row} for row in range(count)]


def always(reply: JsonReply) -> bool:
    return True


def test_a_reply_that_was_had_is_not_asked_for_again(tmp_path: Path) -> None:
    with serve(echo) as endpoint:
        first = post_once(settings(endpoint, tmp_path), "p", bodies(3), as_it_is, always)
        again = post_once(settings(endpoint, tmp_path), "p", bodies(5)[::-1], as_it_is, always)
    assert first == [{"row": row, "attempt": 0} for row in range(3)]
    assert again == [{"row": row, "attempt": 0} for row in (4, 3, 2, 1, 0)]
    assert sorted(received.body["row"] for received in endpoint.received) == [0, 1, 2, 3, 4]


def test_failures_and_replies_of_no_use_are_asked_again(tmp_path: Path) -> None:
    def respond(body: Body, attempt: int) -> Canned:
        if body["row"] == 0 and attempt == 0:
            return Canned(400)
        return Canned(body={"row": body["row"], "useful": body["row"] != 1 or attempt > 0})

    with serve(respond) as endpoint:
        asked = settings(endpoint, tmp_path)
        first = post_once(asked, "p", bodies(3), as_it_is, lambda reply: bool(reply["useful"]))
        again = post_once(asked, "p", bodies(3), as_it_is, lambda reply: bool(reply["useful"]))
        third = post_once(asked, "p", bodies(3), as_it_is, lambda reply: bool(reply["useful"]))
    assert isinstance(first[0], GenerationFailure)
    assert first[1:] == [{"row": 1, "useful": False}, {"row": 2, "useful": True}]
    assert again == third == [{"row": row, "useful": True} for row in range(3)]
    assert len(endpoint.received) == 5


def test_equal_bodies_are_asked_once_and_have_one_reply(tmp_path: Path) -> None:
    with serve(echo) as endpoint:
        asked = [{"a": 1, "b": 2}, {"row": 0}, {"b": 2, "a": 1}]
        replies = post_once(settings(endpoint, tmp_path), "p", asked, as_it_is, always)
    assert replies[0] == replies[2] == {"a": 1, "b": 2, "attempt": 0}
    assert len(endpoint.received) == 2


def test_without_a_folder_nothing_is_kept() -> None:
    with serve(echo) as endpoint:
        plain = EndpointSettings(endpoint.base_url, "m")
        for _ in range(2):
            post_once(plain, "p", bodies(1), as_it_is, always)
    assert len(endpoint.received) == 2


def test_the_key_is_the_content_and_nothing_else() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "ü"}], "seed": 1}
    key = request_key("http://h/v1", "chat/completions", body)
    assert len(key) == 64
    assert request_key("http://h/v1/", "chat/completions", dict(reversed(body.items()))) == key
    others = [
        request_key("http://g/v1", "chat/completions", body),
        request_key("http://h/v1", "completions", body),
        request_key("http://h/v1", "chat/completions", {**body, "seed": 2}),
        request_key("http://h/v1", "chat/completions", {**body, "model": "n"}),
        request_key("http://h/v1", "chat/completions", {**body, "temperature": 0}),
    ]
    assert len({key, *others}) == 6


def test_how_hard_a_server_is_pressed_asks_nothing_again(tmp_path: Path) -> None:
    with serve(echo) as endpoint:
        post_once(settings(endpoint, tmp_path), "p", bodies(1), as_it_is, always)
        harder = replace(
            settings(endpoint, tmp_path), max_concurrency=2, timeout_seconds=9, retries=3
        )
        post_once(harder, "p", bodies(1), as_it_is, always)
    assert len(endpoint.received) == 1


def test_the_key_of_the_api_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-123456")
    with serve(echo) as endpoint:
        with_key = replace(settings(endpoint, tmp_path), api_key_variable="TEST_KEY")
        post_once(with_key, "p", bodies(1), as_it_is, always)
        post_once(settings(endpoint, tmp_path), "p", bodies(1), as_it_is, always)
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "sk-123456" not in file.read_text() + str(file)
    assert len(endpoint.received) == 1


def test_one_whole_file_for_each_reply(tmp_path: Path) -> None:
    cache = RequestCache(tmp_path / "new")
    assert cache.read("abc") is None
    cache.keep("abc", {"text": "\ud800 ü"})
    assert cache.read("abc") == {"text": "\ud800 ü"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / "new" / "ab" / "abc.json"]


@pytest.mark.parametrize("content", [b"", b'{"half', b"\xff", b"[1]"])
def test_a_damaged_file_is_asked_again_and_mended(tmp_path: Path, content: bytes) -> None:
    with serve(echo) as endpoint:
        post_once(settings(endpoint, tmp_path), "p", bodies(1), as_it_is, always)
        (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
        file.write_bytes(content)
        replies = post_once(settings(endpoint, tmp_path), "p", bodies(1), as_it_is, always)
    assert replies == [{"row": 0, "attempt": 1}] == [json.loads(file.read_bytes())]


def test_what_was_had_before_a_kill_is_not_asked_again(tmp_path: Path) -> None:
    def hang_on_the_third(body: Body, attempt: int) -> Canned:
        if body["row"] == 2 and attempt == 0:
            time.sleep(1)
        return Canned(body=body)

    with serve(hang_on_the_third) as endpoint:
        command = [sys.executable, "-c", KILLED, endpoint.base_url, str(tmp_path)]
        with subprocess.Popen(command) as process:
            deadline = time.monotonic() + 60
            while len(endpoint.received) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        replies = post_once(settings(endpoint, tmp_path), "p", bodies(4), as_it_is, always)
    assert replies == bodies(4)
    assert [received.body["row"] for received in endpoint.received[:3]] == [0, 1, 2]
    assert sorted(received.body["row"] for received in endpoint.received[3:]) == [2, 3]


def test_a_reply_of_no_use_that_an_older_version_kept_is_asked_again_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda *said: notes.append(said[0] % said[1:]))
    with serve(echo) as endpoint:
        asked = settings(endpoint, tmp_path)
        kept = RequestCache(tmp_path)
        for body, reply in zip(bodies(3), [{"text": "\ud800"}, {}, {"text": "sound"}], strict=True):
            kept.keep(request_key(endpoint.base_url, "p", body), reply)

        def is_sound(reply: JsonReply) -> bool:
            return "attempt" in reply or reply.get("text") == "sound"

        first = post_once(asked, "p", bodies(3), as_it_is, is_sound)
        kept.keep(request_key(endpoint.base_url, "p", {"row": 3}), {})  # met by another shard
        post_once(asked, "p", [{"row": 3}], as_it_is, is_sound)
        again = post_once(asked, "p", bodies(3), as_it_is, is_sound)
    assert first == again == [{"row": 0, "attempt": 0}, {"row": 1, "attempt": 0}, {"text": "sound"}]
    (note,) = notes
    assert str(tmp_path) in note and "asked for again" in note


def test_lists_as_deep_as_can_be_read_are_an_answer_and_not_kept(tmp_path: Path) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    RequestCache(tmp_path).keep("abc", {"deep": deep})
    assert RequestCache(tmp_path).read("abc") is None
    (tmp_path / "ab").mkdir(exist_ok=True)
    (tmp_path / "ab" / "abd.json").write_bytes(b"[" * 100_000)
    assert RequestCache(tmp_path).read("abd") is None


def test_of_replies_that_were_kept_only_what_is_read_is_held(tmp_path: Path) -> None:
    with serve(lambda body, attempt: Canned(body={"row": "x" * 1_000_000})) as endpoint:
        asked = replace(settings(endpoint, tmp_path), max_concurrency=1)
        for _ in range(2):  # had from the server, and then from the folder
            tracemalloc.start()
            sizes = post_once(asked, "p", bodies(16), lambda at, reply: len(str(reply)), always)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert sizes == [1_000_011] * 16 and peak < 10_000_000
    assert len(endpoint.received) == 16
