"""Lists that users give makers, such as synonyms or a glossary: text files, an entry a line."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.ingest.rows import UnreadableSourceError


def read_listed(path: Path) -> Iterator[tuple[int, str]]:
    """The entries of a list with the numbers of their lines, from 1.

    Blank lines, and those that begin with #, are none.

    Raises:
        UnreadableSourceError: if the file is not there, or is no text in UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableSourceError(f"{path} cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield number, line
