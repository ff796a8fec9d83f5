"""What a command says of its work: lines and bars, to stderr, and the lines to the run's page too.

On a terminal counted work has a bar while it goes on, and lines are printed above it. Elsewhere it
has a line every few seconds. In both places it ends with a line. Counts and paths are said, never
the content of a row; stdout is left to data. rich and Prefect are imported only once they are
needed, so that a verb may import this at no cost.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from storage.visible import harmless

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task, TaskID

SECONDS_BETWEEN_LINES = 5.0

SPEED_SECONDS = 3600.0  # over which the speed is taken: one shard may be minutes of work

_bars: "Progress | None" = None  # on the terminal; nested work shares its one place for bars


def say(line: str) -> None:
    """Say a line, above the bars where there are any."""
    line = harmless(line)
    log_on_page(line)
    if _bars is not None:
        _bars.console.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def log_on_page(line: str) -> None:
    """Write a line into the log of the run's page, if there is one."""
    if "prefect" not in sys.modules:  # then this is no run, and its second of import is saved
        return
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    with suppress(MissingContextError):  # outside a run there is no page to write to
        get_run_logger().info(line)


@contextmanager
def counted(unit: str) -> "Iterator[CountedWork]":
    """Show how far work is, counted in a unit such as rows, as long as the block goes on."""
    with bars_on_terminal() as bars:
        work = CountedWork(unit, bars)
        try:
            yield work
        finally:
            work.clear()


class CountedWork:
    """Pieces of counted work, one after the other, each with a bar; `at` is a Report."""

    def __init__(self, unit: str, bars: "Progress | None") -> None:
        self.unit, self.bars = unit, bars
        self.what: str | None = None
        self.bar: TaskID | None = None
        self.began = self.told = 0.0

    def at(self, what: str, done: int, total: int | None, note: str = "") -> None:
        """Show how far a piece is; the first call for it begins its bar, and its last ends it.

        Args:
            what: the piece, as "STAGE: what".
            done: so many are.
            total: how many there are; None where nobody knows.
            note: what else can be said now.
        """
        if what != self.what:
            self.begin(what, total)
        if self.bars is not None and self.bar is not None:
            self.bars.update(self.bar, completed=done, total=total, note=note)
        now = time.monotonic()
        of = f"{done}" if total is None else f"{done} of {total}"
        parts = [what, f"{of} {self.unit}".rstrip(), note, spoken(now - self.began)]
        line = ", ".join(filter(None, parts))
        if done == total:
            self.clear()  # before the line, which would be printed above a bar at its end
            say(line)
        elif now - self.told >= SECONDS_BETWEEN_LINES:
            self.told = now
            # On a terminal the bar shows it; the run's page has no bar.
            (say if self.bars is None else log_on_page)(line)

    def begin(self, what: str, total: int | None) -> None:
        """Begin a bar."""
        self.clear()
        self.what = what
        self.began = self.told = time.monotonic()
        if self.bars is not None:
            self.bar = self.bars.add_task(harmless(what), total=total, unit=self.unit, note="")

    def clear(self) -> None:
        """Take the bar away."""
        if self.bars is not None and self.bar is not None:
            self.bars.remove_task(self.bar)
            self.bars.refresh()  # or the next line would draw it once more
        self.what = self.bar = None


@contextmanager
def bars_on_terminal() -> "Iterator[Progress | None]":
    """The place for bars, until the block ends; None where stderr is no terminal that has one."""
    global _bars
    if _bars is not None or not sys.stderr.isatty():
        yield _bars
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_interactive:  # TERM=dumb, or TTY_INTERACTIVE=0
        yield None
        return
    _bars = draw_bars(console)
    try:
        with _bars:
            yield _bars
    finally:
        _bars = None


def draw_bars(console: "Console") -> "Progress":
    """Bars with counts, speed, and times gone by and left; a narrow terminal shortens the bar."""
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column, Table
    from rich.text import Text

    class State(ProgressColumn):
        """How far it is, and for how long still."""

        def render(self, task: "Task") -> Text:
            return Text(state_of(task), style="progress.download")

    class Bars(Progress):
        """Leave room for the ^C that a terminal echoes: on a full line it would begin another."""

        def make_tasks_table(self, tasks: "Iterable[Task]") -> Table:
            table = super().make_tasks_table(tasks)
            table.width = max(1, console.width - len("^C") - 1)
            return table

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        State(table_column=Column(no_wrap=True)),  # numbers stay whole: the bar gives way
        console=console,
        expand=True,
        redirect_stdout=False,  # it is data, and may be read by another program
        refresh_per_second=4,
        speed_estimate_period=SPEED_SECONDS,
    )


def state_of(task: "Task") -> str:
    """How much is done, how fast (seconds for each where that is slow), for how long and still."""
    done, speed, left = int(task.completed), task.speed, task.time_remaining
    of = f"{done:,}" if task.total is None else f"{done:,}/{int(task.total):,}"
    # Without a total, a 0 says nothing yet.
    parts = [f"{of} {task.fields['unit']}".rstrip()] if done or task.total is not None else []
    parts += filter(None, [task.fields["note"]])
    if speed:
        parts.append(f"{speed:,.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")
    parts.append(spoken(task.elapsed or 0.0))
    parts += [] if left is None else [f"{spoken(left)} left"]
    return ", ".join(parts)


def spoken(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 90:  # not 60: of 60 to 89 s, "1 min" would be all that is said
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
