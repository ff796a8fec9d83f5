"""Lines of a stream of blocks, in memory that does not grow with the line."""

from collections.abc import Iterable, Iterator
from itertools import chain

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.rows import Line, OversizedRow, oversized


def read_lines(blocks: Iterable[bytes], limit: int) -> Iterator[Line]:
    r"""Give each line without its "\n"; the last one also where the file does not end it.

    Args:
        blocks: the text in pieces of any size.
        limit: bytes above which a line may come as an OversizedRow. A line that is over the limit
            and ends in the block where it passes it comes as bytes.

    Raises:
        BrokenStreamError: from `blocks`, with the unfinished line as its `rest`.
    """
    tail = b""  # the line that the last block began and did not end
    large: OversizedRow | None = None  # the same, once it is over the limit
    try:
        for block in blocks:
            left = block
            if large is not None:
                head, newline, left = block.partition(b"\n")
                large.add(head)
                if not newline:
                    continue
                yield large
                large = None
            lines = (tail + left).split(b"\n")
            tail = lines.pop()
            yield from lines
            if len(tail) > limit:  # or each block would copy a line of gigabytes again
                large, tail = oversized(tail), b""
    except BrokenStreamError as error:
        error.rest = tail if large is None else bytes(large.kept)
        raise
    if large is not None:
        yield large
    elif tail:
        yield tail


def end_with_line_feeds(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Turn each "\r" into "\n" where the first line ends in a lone "\r", as of old Macs' files."""
    pieces = iter(blocks)
    first = next(pieces, b"")
    line, end, _ = first.partition(b"\r")
    lone = bool(end) and b"\n" not in line and not first.startswith(b"\n", len(line) + 1)
    for piece in chain([first], pieces):
        yield piece.replace(b"\r", b"\n") if lone else piece
