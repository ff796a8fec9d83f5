"""Faults of the disk: a full one, a read-only one, one without permission, as one clear line.

They reach us as OSError with a number, from Arrow also without the path; from DuckDB and from
safetensors as text alone; and sometimes inside another error. What was committed before is whole
in every case: a file is written under another name, and a table in a transaction.
"""

import errno
import re
from collections.abc import Iterator

from storage.error_notes import WHILE_WRITING

AGAIN = "What was finished is kept; the same command goes on from there"

REMEDIES = {
    errno.ENOSPC: f"the disk is full: free some, then run again. {AGAIN}",
    errno.EDQUOT: f"your share of the disk is used up: free some, then run again. {AGAIN}",
    errno.EFBIG: f"a file is larger than is allowed here (`ulimit -f`). {AGAIN}",
    errno.EROFS: "the file system is read-only: mount it writable, or name another directory",
    errno.EACCES: "permission denied: give the directory to who runs Sluice, or name another one",
    errno.EPERM: "not permitted: give the directory to who runs Sluice, or name another one",
    errno.EIO: "the disk could not be read or written: see to the disk (`dmesg` may say more)",
    errno.EMFILE: f"too many files are open: raise `ulimit -n`. {AGAIN}",
}

TEXTS = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "Read-only file system": errno.EROFS,
    "Permission denied": errno.EACCES,
    "Operation not permitted": errno.EPERM,
    "Input/output error": errno.EIO,
    "Too many open files": errno.EMFILE,
}
"""What the operating system calls them, in messages of libraries that pass on no number."""

LIBRARIES = {"SafetensorError", "IOException", "TransactionException", "FatalException", "Error"}
"""Classes of errors whose text is looked at."""

PATH = re.compile(r"""["'](/[^"']+)["']""")


def explain_fault(error: BaseException) -> str | None:
    """One line on which disk fault ended the command, and where; None if it was something else."""
    for each in chain(error):
        number = fault_number(each)
        if number is not None:
            path = path_of(error)
            return f"{path}: {REMEDIES[number]}" if path else REMEDIES[number]
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and what it holds, each once."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inside = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        causes = (each.__cause__, each.__context__, *inside)
        waiting += [cause for cause in causes if cause is not None]


def fault_number(error: BaseException) -> int | None:
    """The number of the fault that an error stands for; None for other errors."""
    if isinstance(error, OSError):
        return error.errno if error.errno in REMEDIES else number_in(str(error))
    names = {each.__name__ for each in type(error).__mro__}
    return number_in(str(error)) if names & LIBRARIES else None


def number_in(text: str) -> int | None:
    """The number of the fault that a message names."""
    return next((number for words, number in TEXTS.items() if words in text), None)


def path_of(error: BaseException) -> str | None:
    """The path that an error, or what it was raised from, names."""
    for each in chain(error):
        notes = [note for note in getattr(each, "__notes__", ()) if note.startswith(WHILE_WRITING)]
        if notes:
            return str(notes[0].removeprefix(WHILE_WRITING))
        if isinstance(each, OSError) and isinstance(each.filename, str):
            return each.filename
        found = PATH.search(str(each))
        if found:
            return found.group(1)
    return None
