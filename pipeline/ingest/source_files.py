"""Files as sources: what kind of thing a name stands for, its hash, and whether it was changed."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from pipeline.ingest.rows import UnreadableSourceError

Signature: TypeAlias = tuple[tuple[int, ...], ...]
"""Of each file: device, inode, size, and when its content and its entry were last changed."""

KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require_readable(path: Path) -> None:
    """Refuse what is neither a file nor a directory, without opening it: a pipe would wait.

    Raises:
        UnreadableSourceError: also if there is nothing of the name, or its name cannot be stored.
    """
    shown = shown_name(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        broken = path.is_symlink() if "\0" not in str(path) else False
        why = "is a link to nothing" if broken else "is not there"
        raise UnreadableSourceError(f"there is no {shown}: it {why}") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "neither")
        raise UnreadableSourceError(
            f"{shown} is {kind}, and a source must be a file or a directory"
        )
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UnreadableSourceError(
            f"the name of {shown} is not UTF-8, and cannot be stored: rename it"
        ) from None


def shown_name(path: Path) -> str:
    """A path in one line, whatever its name holds."""
    name = str(path)
    return name if name.isprintable() else ascii(name)


def hash_source(path: Path) -> str:
    """SHA-256 of the bytes of a file, or of the names and bytes of a directory's files, in hex."""
    digest = hashlib.sha256()
    for file in files_of(path):
        if file != path:
            name = file.relative_to(path).as_posix().encode()
            digest.update(b"%d:%b%d:" % (len(name), name, file.stat().st_size))
        with file.open("rb") as opened:
            hashlib.file_digest(opened, lambda: digest)
    return digest.hexdigest()


def sign_source(path: Path) -> Signature:
    """What is never the same again once a file was written to, replaced or touched."""
    return tuple(
        (of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns)
        for of in map(os.stat, files_of(path))
    )


def files_of(path: Path) -> Iterator[Path]:
    """The file itself, or those of a directory, sorted."""
    if path.is_dir():
        yield from sorted(item for item in path.rglob("*") if item.is_file())
    else:
        yield path
