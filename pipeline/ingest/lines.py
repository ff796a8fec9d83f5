"""Lines of a stream of blocks, in memory that does not grow with the line."""

from collections.abc import Iterable, Iterator
from itertools import chain

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.rows import Line, OversizedRow


def read_lines(blocks: Iterable[bytes], limit: int) -> Iterator[Line]:
    r"""Give each line without its "\n"; the last one also where the file does not end it.

    Args:
        blocks: the text in pieces of any size.
        limit: bytes above which a line may come as an OversizedRow. A line that is over the limit
            and ends in the block where it passes it comes as bytes.

    Raises:
        BrokenStreamError: from `blocks`, with the unfinished line as its `rest`.
    """
    begun: OversizedRow | None = None  # the line that the last block began and did not end
    try:
        for block in blocks:
            left = block
            if begun is not None:
                head, newline, left = block.partition(b"\n")
                begun.add(head)
                if not newline:
                    continue
                yield _ended(begun)
            *lines, tail = left.split(b"\n")
            yield from lines
            begun = _begin(tail, limit) if tail else None
    except BrokenStreamError as error:
        error.rest = b"" if begun is None else bytes(begun.kept)
        raise
    if begun is not None:
        yield _ended(begun)


def _ended(row: OversizedRow) -> Line:
    return row if row.is_over else bytes(row.kept)


def _begin(text: bytes, limit: int) -> OversizedRow:
    row = OversizedRow(limit)
    row.add(text)
    return row


def end_with_line_feeds(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Turn each "\r" into "\n" where the first line ends in a lone "\r", as of old Macs' files."""
    pieces = iter(blocks)
    first = next(pieces, b"")
    line, end, _ = first.partition(b"\r")
    lone = bool(end) and b"\n" not in line and not first.startswith(b"\n", len(line) + 1)
    for piece in chain([first], pieces):
        yield piece.replace(b"\r", b"\n") if lone else piece
