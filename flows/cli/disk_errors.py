"""Faults of the disk: a full one, a read-only one, one without permission, as one clear line.

They reach us as OSError with a number, from Arrow also without the path; from DuckDB and from
safetensors as text alone; and sometimes inside another error. What was committed before is whole
in every case: a file is written under another name, and a table in a transaction.
"""

import errno
import os
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

# What the operating system calls them, in messages of libraries that pass on no number.
TEXTS = {os.strerror(number): number for number in REMEDIES}
# Classes of errors whose text is looked at; by name, so that no library is imported for it.
LIBRARIES = {"SafetensorError", "IOException", "TransactionException", "FatalException", "Error"}
PATH = re.compile(r"""["'](/[^"']+)["']""")  # an absolute one in quotes, as DuckDB names its files


def explain_fault(error: BaseException) -> str | None:
    """One line on which disk fault ended the command, and where; None if it was something else."""
    for each in chain(error):
        if (number := fault_number(each)) is not None:
            path = path_of(error)  # of the whole chain: another error of it may name the path
            return f"{path}: {REMEDIES[number]}" if path else REMEDIES[number]
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and what it holds, each once."""
    waiting, seen = [error], set()  # seen by id: a cause is often the context too, or in a circle
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
        # Arrow's have no number, but its text; others have a number that is no fault of the disk.
        return error.errno if error.errno in REMEDIES else number_in(str(error))
    names = {each.__name__ for each in type(error).__mro__}  # a subclass counts as its class
    return number_in(str(error)) if names & LIBRARIES else None


def number_in(text: str) -> int | None:
    """The number of the fault that a message names."""
    return next((number for words, number in TEXTS.items() if words in text), None)


def path_of(error: BaseException) -> str | None:
    """The path that an error, or what it was raised from, names."""
    for each in chain(error):
        for note in getattr(each, "__notes__", ()):  # ours first: a library may name a part only
            if note.startswith(WHILE_WRITING):
                return str(note.removeprefix(WHILE_WRITING))
        if isinstance(each, OSError) and isinstance(
            each.filename, str
        ):  # else bytes, or a descriptor
            return each.filename
        if found := PATH.search(str(each)):
            return found.group(1)
    return None
