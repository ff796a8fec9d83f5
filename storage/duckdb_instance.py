"""An instance of DuckDB is kept between two openings: its start takes longer than that of a file.

A file is attached to it while somebody works on it and detached afterwards. Its lock is free then,
and whatever was written is in it, as if it had been opened and closed by itself.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    # Or a query that names no table could read a variable of ours that is called so.
    "python_enable_replacements": "false",
}

BUFFER_BYTES = 2**28
"""Of DuckDB's own memory while texts of any length go through it; by itself it takes most of the
machine's."""


@dataclass(slots=True)
class Instance:
    """An instance, and what is attached to it."""

    con: duckdb.DuckDBPyConnection
    users: int = 0
    """Connections to the file that is attached."""
    sound: bool = True
    """False once somebody met an error: one that is fatal leaves no instance that can be used."""


IS_LOCKED = "select current_setting('lock_configuration')"

LOCK = threading.Lock()

BUSY: dict[str, Instance] = {}
"""The path of each file that is attached → to what; threads that open one file share it."""

IDLE: list[Instance] = []
"""One at most, without a file."""


@contextmanager
def attached(file: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a DuckDB file, which is attached for as long as somebody has it.

    Raises:
        duckdb.IOException: if another process has the file, or it cannot be opened.
        duckdb.BinderException: if it is open for writing and asked for to be read, or vice versa.
    """
    path = os.path.abspath(file)
    con = borrow(path, read_only)
    sound = False
    try:
        con.execute("use workspace")
        yield con
        sound = True
    finally:
        con.close()
        give_back(path, sound)


def borrow(path: str, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Attach a file, unless it is attached already, and connect to it."""
    with LOCK:
        instance = BUSY.get(path) or (IDLE.pop() if IDLE else start_instance())
        if not instance.users:
            run_on(instance, f"set temp_directory = {quoted(path + '.tmp')}")
        mode = f"(type duckdb, {'read_only' if read_only else 'read_write'})"
        try:
            run_on(instance, f"attach if not exists {quoted(path)} as workspace {mode}")
        except duckdb.IOException:
            IDLE[:] = [instance]  # whoever waits for the file tries again with it
            raise
        con = instance.con.cursor()
        instance.users += 1
        BUSY[path] = instance
        return con


def give_back(path: str, sound: bool) -> None:
    """Detach a file that nobody else has a connection to."""
    with LOCK:
        instance = BUSY[path]
        instance.users -= 1
        instance.sound &= sound
        if instance.users:
            return
        del BUSY[path]
        run_on(instance, "detach workspace")
        # What was too large for memory, a store's file system and what nobody may undo go with
        # their instance.
        spilled = os.path.exists(path + ".tmp")
        if instance.sound and not spilled and not instance.con.list_filesystems():
            (locked,) = instance.con.execute(IS_LOCKED).fetchall()
            IDLE[:] = [] if locked[0] else [instance]


def start_instance() -> Instance:
    """An instance of DuckDB with extensions from the network switched off."""
    con = duckdb.connect(":memory:", config=CONFIG)
    con.execute("set global timezone = 'UTC'")  # days would begin at another hour elsewhere
    return Instance(con)


def run_on(instance: Instance, statement: str) -> None:
    """Have an instance do something with its file."""
    instance.con.execute(statement)


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def in_little_memory(con: duckdb.DuckDBPyConnection, more: int = 0) -> Iterator[None]:
    """Have DuckDB keep less of what it wrote and read in memory than it would: BUFFER_BYTES.

    `more` bytes it has for what cannot be taken a piece at a time.
    """
    con.execute(f"set memory_limit = '{BUFFER_BYTES + more} bytes'")
    try:
        yield
    finally:
        con.execute("reset memory_limit")
        # That changes what DuckDB says (1.5), and not the limit that its buffers have.
        ((usual,),) = con.execute("select current_setting('memory_limit')").fetchall()
        con.execute(f"set memory_limit = {quoted(usual)}")


def leave_none_to_a_fork() -> None:
    """A child has none of the threads that an instance needs."""
    LOCK.acquire()
    IDLE.clear()


os.register_at_fork(
    before=leave_none_to_a_fork, after_in_parent=LOCK.release, after_in_child=LOCK.release
)
