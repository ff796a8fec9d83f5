"""Runs `sluice` in children that can be killed at a chosen moment of their writing.

Started as a process of its own: it imports what a run imports, once, and then forks a child for
each order that it reads from stdin, a line of JSON; when the child has ended it answers with one.
A child is Sluice's own command line. All that is different: each of its writes to the workspace is
counted, before and after: statements that write to DuckDB, commits, and files and folders made,
renamed and removed. At the moment that the order names it kills itself with SIGKILL.
"""

import functools
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

FILE_WRITES = ("rename", "replace", "unlink", "rmdir", "mkdir", "link")

SQL_WRITES = ("insert", "update", "delete", "create", "drop", "alter", "copy", "checkpoint")

PREPARED = (
    "flows.backfill_scores",
    "flows.cli.summary",
    "fine_tune.trainer",
    "scorers.measures.models.language_model",
    "scorers.measures.training.proxy_training",
    "sklearn.cluster",
)
"""Imported before the first child, for these take seconds."""


@dataclass(frozen=True, slots=True)
class Order:
    """One run of the command line."""

    folder: str
    """Working directory, and home of the workspace: only writes below it count."""
    words: list[str]
    """Arguments of `sluice`."""
    log: str
    """File for what it says."""
    moment: int = 0
    """Kill it at this write, counted from 1; 0: do not."""
    seconds: float = 0.0
    """Kill it after so long; 0: do not."""
    environment: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended."""

    code: int
    """Exit code; -9 where it was killed."""
    seconds: float


class Moments:
    """Counts the writes of this process, and kills it at one of them."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.counted = 0
        self.names = Path(order.log).with_suffix(".moments").open("w")

    def pass_by(self, name: str) -> None:
        """Note a moment; do not return from the one that was ordered."""
        self.counted += 1
        self.names.write(f"{name}\n")
        if self.counted == self.order.moment:
            self.names.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A call with a moment before it and one after it."""

        @functools.wraps(call)
        def counted(*arguments: Any, **named: Any) -> Any:
            self.pass_by(f"before {name}")
            result = call(*arguments, **named)
            self.pass_by(f"after {name}")
            return result

        return counted

    def around_file(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The same, for paths below the folder only."""

        @functools.wraps(call)
        def counted(path: Any, *arguments: Any, **named: Any) -> Any:
            inside = os.path.abspath(os.fspath(path)).startswith(self.order.folder)
            write = self.around(call, f"{name} {Path(path).name}") if inside else call
            return write(path, *arguments, **named)

        return counted


class CountedConnection:
    """A DuckDB connection whose writes are counted; all else is the connection's own."""

    def __init__(self, con: duckdb.DuckDBPyConnection, moments: Moments) -> None:
        self._con, self._moments = con, moments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)

    def cursor(self) -> "CountedConnection":
        """A connection for a file, which is counted like this one."""
        return CountedConnection(self._con.cursor(), self._moments)

    def execute(self, query: str, parameters: object = None) -> Any:
        """Count it if it writes."""
        words = query.split()
        call = self._con.execute
        views = words[1:3] == ["or", "replace"]  # made anew whenever the database is opened
        if words[0].lower() in SQL_WRITES and not views:
            call = self._moments.around(call, " ".join(words[:3]))
        return call(query, parameters) if parameters is not None else call(query)

    def commit(self) -> Any:
        """Count it."""
        return self._moments.around(self._con.commit, "commit")()


def count_writes(moments: Moments) -> None:
    """Have every write of this process counted from here on."""
    connect = duckdb.connect

    def counted(database: str, read_only: bool = False, config: Any = None) -> Any:
        con = connect(database, read_only=read_only, config=config)
        return con if read_only else CountedConnection(con, moments)

    duckdb.connect = counted  # type: ignore[assignment]
    for name in FILE_WRITES:
        setattr(os, name, moments.around_file(getattr(os, name), name))


def be_sluice(order: Order) -> None:
    """Become the command line; does not return."""
    os.chdir(order.folder)
    os.environ.update(order.environment or {})
    output = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["sluice", *order.words]
    count_writes(Moments(order))
    from flows.cli.main import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    os._exit(code)


def obey(order: Order) -> Ended:
    """Fork a child for an order, and wait for its end."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        be_sluice(order)
    deadline = started + order.seconds if order.seconds else None
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if deadline and time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - started)


def main() -> None:
    """Prepare, say so, and obey orders until there are no more."""
    for module in PREPARED:
        importlib.import_module(module)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        ended = obey(Order(**json.loads(line)))
        sys.stdout.write(json.dumps(asdict(ended)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
