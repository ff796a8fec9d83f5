"""Runners: what is refused before any work, and in which order results are taken."""

import importlib.util
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from flows import runners
from flows.cli import main as command_line
from flows.cli.main import VERBS
from flows.runners import ClusterError, RunnerName, do_all, find_runner
from pipeline.extras import MissingExtraError

SERVER = "http://127.0.0.1:1/api"


@pytest.fixture
def server() -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: SERVER}):
        yield


@contextmanager
def silence() -> Iterator[int]:
    """A port of this machine that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield int(free.getsockname()[1])


def test_threads_need_nothing() -> None:
    assert isinstance(find_runner("threads", None), ThreadPoolTaskRunner)
    with pytest.raises(ClusterError, match="needs --runner dask or --runner ray"):
        find_runner("threads", "tcp://127.0.0.1:8786")


@pytest.mark.parametrize(
    ("runner", "example"), [("dask", "tcp://HOST:8786"), ("ray", "ray://HOST:10001")]
)
def test_a_cluster_must_be_named_and_be_there(
    runner: RunnerName, example: str, server: None
) -> None:
    with pytest.raises(ClusterError, match=f"existing cluster: give --cluster {example}"):
        find_runner(runner, None)
    with pytest.raises(ClusterError, match=f"is no address: give {example}"):
        find_runner(runner, "somewhere")
    with silence() as port, pytest.raises(ClusterError, match=r"answers at .*ConnectionRefused"):
        find_runner(runner, f"tcp://127.0.0.1:{port}")


def test_a_cluster_needs_a_server_that_its_workers_reach() -> None:
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ClusterError, match="Prefect server that every worker reaches"),
    ):
        find_runner("dask", "tcp://127.0.0.1:8786")


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    runner: RunnerName, server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=rf"pip install -e '\.\[{runner}\]' in Sluice's folder"
    ):
        find_runner(runner, "tcp://127.0.0.1:8786")
    assert importlib.util.find_spec("prefect_dask")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--runner", "dask"], 2, "give --cluster tcp://HOST:8786"),
        (["--cluster", "tcp://127.0.0.1:8786"], 2, "needs --runner dask or --runner ray"),
        (["--runner", "spark"], 2, "'spark' is not one of"),
    ],
)
def test_the_command_line_refuses_them_before_any_work(
    words: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}) * 1)
    (tmp_path / "r.yaml").write_text(
        f"{{name: r, workspace: w, target: {tmp_path}, sources: [{{path: rows.jsonl}}], "
        "select: {steps: [{method: random, budget: {rows: 1}}]}}"
    )
    stages = {verb.__name__ for verb in VERBS["Run a recipe up to a stage"]}
    for verb in ("run", *stages - {"check"}):  # a recipe for that needs more
        with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as ended:
            patched.setattr("sys.argv", ["sluice", verb, str(tmp_path / "r.yaml"), *words])
            command_line.main()
        assert ended.value.code == code
        assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "w").exists()


@dataclass
class Sent:
    """What a runner gives for a task; the test says when it is finished."""

    task_run_id: UUID = field(default_factory=uuid4)
    future: Future[str] = field(default_factory=Future)

    def add_done_callback(self, tell: Callable[["Sent"], None]) -> None:
        self.future.add_done_callback(lambda _: tell(self))

    def result(self) -> str:
        return self.future.result()


@dataclass
class Work:
    """A task: how it is sent to a runner, and what it gives in the flow's own process."""

    send: Callable[[int], Sent] | None = None

    def submit(self, piece: int, label: str) -> Sent:
        assert self.send is not None and label == f"piece {piece}"
        return self.send(piece)

    def __call__(self, piece: int, label: str) -> str:
        assert self.send is None
        return f"{label} here"


def do_pieces(work: Work, pieces: Iterable[int], anywhere: bool) -> Iterator[tuple[int, str]]:
    labelled = ((piece, f"piece {piece}") for piece in pieces)
    return do_all(work, labelled, anywhere)  # type: ignore[arg-type]


def test_a_slow_piece_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "tasks_under_way", lambda: 2)
    sent: dict[int, Sent] = {}

    def submit(piece: int) -> Sent:
        sent[piece] = Sent()
        if piece:
            sent[piece].future.set_result(f"result {piece}")
        if piece == 4:
            sent[0].future.set_result("result 0")
        return sent[piece]

    done = list(do_pieces(Work(submit), range(5), anywhere=True))
    assert [piece for piece, _ in done][:3] == [1, 2, 3]
    assert sorted(done) == [(piece, f"result {piece}") for piece in range(5)]


def test_no_more_are_begun_than_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "tasks_under_way", lambda: 3)
    sent: list[Sent] = []
    taken: list[int] = []

    def pieces() -> Iterator[int]:
        for piece in range(9):
            taken.append(piece)
            yield piece

    def submit(piece: int) -> Sent:
        sent.append(Sent())
        if len(sent) == 3:
            sent[1].future.set_result("")
        elif len(sent) > 3:
            sent[-1].future.set_result("")
        return sent[-1]

    done = do_pieces(Work(submit), pieces(), anywhere=True)
    for finished, begun in ((1, 3), (3, 4), (4, 5)):
        assert next(done)[0] == finished
        assert len(sent) == len(taken) == begun


def test_an_error_of_a_piece_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "tasks_under_way", lambda: 1)

    def submit(piece: int) -> Sent:
        sent = Sent()
        sent.future.set_exception(ValueError(f"piece {piece}"))
        return sent

    with pytest.raises(ValueError, match="piece 0"):
        list(do_pieces(Work(submit), range(3), anywhere=True))


def test_on_a_cluster_what_needs_the_workspace_is_done_where_the_run_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runners, "runner_in_use", lambda: "dask")
    done = do_pieces(Work(), [1, 2], anywhere=False)
    assert list(done) == [(1, "piece 1 here"), (2, "piece 2 here")]
