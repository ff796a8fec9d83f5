"""Lines and bars: what is shown on a terminal, what elsewhere, and what is left of it."""

import fcntl
import os
import subprocess
import sys
import termios
import time
from types import SimpleNamespace

import pytest
from rich.progress import ProgressSample, Task, TaskID

from flows import progress
from flows.progress import counted, say, state_of
from tests.terminal import FakeTerminal, screen

WIDTH = 60


def open_terminal(monkeypatch: pytest.MonkeyPatch, **settings: str) -> FakeTerminal:
    """Make stderr a terminal that can draw; no fixture, for pytest sets stderr before each call."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), **settings}.items():
        monkeypatch.setenv(name, value)
    fake = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", fake)
    return fake


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Seconds that only a test moves on."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_elsewhere_there_is_a_line_every_few_seconds_and_one_at_the_end(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with counted("rows") as work:
        for done in range(0, 13, 2):
            work.at("measure: losses", done, 12)
            clock.now += 2
        work.at("ingest: reading a.csv", 3, None)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "measure: losses, 6 of 12 rows, 6 s",
        "measure: losses, 12 of 12 rows, 12 s",
    ]


def test_a_bar_is_drawn_with_count_and_note_and_gives_way_to_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = open_terminal(monkeypatch)
    with counted("steps") as work:
        work.at("train", 3, 12, "loss 1.250")
        assert progress._bars is not None
        progress._bars.refresh()
        (drawn,) = screen(terminal.getvalue(), WIDTH)
        assert drawn.startswith("train ━") and drawn.endswith("━ 3/12 steps, loss 1.250, 0 s")
        work.at("train", 12, 12, "loss 0.500")
        assert screen(terminal.getvalue(), WIDTH) == ["train, 12 of 12 steps, loss 0.500, 0 s"]
        sys.stdout.write("data\n")
    assert "data" not in terminal.getvalue()
    assert capsys.readouterr().out == "data\n"


def test_lines_and_what_others_write_stand_above_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    path = "/a/" + "long/" * 20 + "[path]"
    with counted("partitions") as outer, counted("rows") as work:
        outer.at("backfill", 1, 3)
        work.at("measure: losses", 1, 3)
        say(path)
        print("from a library", file=sys.stderr)  # noqa: T201
        *above, first, second = screen(terminal.getvalue(), WIDTH)
        assert "".join(above) == f"{path}from a library"
        assert first.startswith("backfill ") and second.startswith("measure: losses ")
    assert "".join(screen(terminal.getvalue(), WIDTH)) == f"{path}from a library"
    assert path in terminal.getvalue(), "it can be copied as it is"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_no_bar_outlives_an_error(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    terminal = open_terminal(monkeypatch)
    with pytest.raises(type(error)), counted("partitions"), counted("rows") as work:
        work.at("measure: losses", 1, 3)
        raise error
    say("sluice: stopped")
    assert screen(terminal.getvalue(), WIDTH) == ["sluice: stopped"]
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")
    assert sys.stderr is terminal and progress._bars is None


def test_without_colour_there_are_bars_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = open_terminal(monkeypatch, NO_COLOR="1")
    with counted("rows") as work:
        work.at("measure: losses", 0, 3)
        assert "0/3 rows" in screen(terminal.getvalue(), WIDTH)[0]
    assert "\x1b[3" not in terminal.getvalue()


@pytest.mark.parametrize("settings", [{"TERM": "dumb"}, {"TTY_INTERACTIVE": "0"}])
def test_a_terminal_that_cannot_draw_has_lines(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    terminal = open_terminal(monkeypatch, **settings)
    with counted("rows") as work:
        work.at("measure: losses", 1, 3)
        work.at("measure: losses", 3, 3)
    assert terminal.getvalue() == "measure: losses, 3 of 3 rows, 0 s\n"


def test_a_forced_colour_makes_no_terminal_of_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with counted("rows") as work:
        work.at("measure: losses", 1, 3)
    assert capsys.readouterr().err == ""


def test_what_is_known_of_speed_and_time_is_said() -> None:
    def state(done: int, total: int | None, seconds: float) -> str:
        now = SimpleNamespace(seconds=0.0)
        fields = {"unit": "rows", "note": ""}
        task = Task(TaskID(0), "x", total, 0, fields=fields, _get_time=lambda: now.seconds)
        task.start_time = 0.0
        for each in range(1, done + 1):
            now.seconds += seconds
            task._progress.append(ProgressSample(now.seconds, 1.0))
            task.completed = each
        return state_of(task)

    assert state(0, None, 1) == "0 s"
    assert state(0, 1000, 1) == "0/1,000 rows, 0 s"
    assert state(20, 60, 0.5) == "20/60 rows, 2.0/s, 10 s, 20 s left"
    assert state(3, 9, 60.0) == "3/9 rows, 60.0 s each, 3 min, 6 min left"
    assert state(4, None, 0.5) == "4 rows, 2.0/s, 2 s"


PROGRAM = """
import sys, time
from flows.progress import counted, say
try:
    with counted("rows") as work:
        work.at("measure: losses", 1, 3)
        time.sleep(60)
except KeyboardInterrupt:
    say("stopped")
"""


def test_ctrl_c_on_a_real_terminal_leaves_no_bar() -> None:
    own, theirs = os.openpty()
    termios.tcsetwinsize(own, (24, WIDTH))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    written, pressed = b"", False
    try:
        while data := os.read(own, 65536):
            written += data
            if not pressed and b"/3 rows" in written:
                time.sleep(0.3)  # it is drawn anew meanwhile
                os.write(own, b"\x03")
                pressed = True
    except OSError:
        pass  # the other end is closed: it has ended
    assert process.wait(10) == 0
    assert screen(written.decode(), WIDTH) == ["stopped"]
    assert process.stdout is not None and process.stdout.read() == b""
    os.close(own)
