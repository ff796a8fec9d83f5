from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.lines import end_with_line_feeds, read_lines
from pipeline.ingest.rows import OversizedRow


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def whole(line: bytes | OversizedRow) -> bytes:
    return bytes(line.kept) if isinstance(line, OversizedRow) else line


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=20),
    st.integers(1, 50),
    st.integers(1, 40),
    st.booleans(),
)
def test_lines_do_not_depend_on_blocks(
    lines: list[bytes], size: int, limit: int, ended: bool
) -> None:
    text = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    expected = text.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    read = list(read_lines(cut(text, size), limit))
    assert [whole(line) for line in read] == expected
    for line in read:
        if isinstance(line, OversizedRow):
            assert line.length > limit
        else:
            assert len(line) <= limit + size


def test_a_line_that_never_ends_is_not_gathered() -> None:
    first, second = read_lines([b"abc", b"def", b"ghi\nj"], limit=5)
    assert isinstance(first, OversizedRow) and first.length == 9
    assert second == b"j"


@pytest.mark.parametrize(("limit", "block"), [(100, b"ab\ncd"), (1, b"ab\ncd")])
def test_a_broken_stream_hands_over_its_last_line(limit: int, block: bytes) -> None:
    def blocks() -> Iterator[bytes]:
        yield block
        raise BrokenStreamError("damaged")

    lines = read_lines(blocks(), limit)
    assert next(lines) == b"ab"
    with pytest.raises(BrokenStreamError, match="damaged") as broken:
        next(lines)
    assert broken.value.rest == b"cd"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a\rb\r", b"a\nb\n"),
        (b"a\rb\nc\r", b"a\nb\nc\n"),  # a line feed within a quoted field
        (b"a\r\nb\rc\r\n", b"a\r\nb\rc\r\n"),
        (b"a\nb\rc", b"a\nb\rc"),
        (b"", b""),
    ],
)
def test_a_lone_carriage_return_ends_lines_where_it_ends_the_first(
    text: bytes, expected: bytes
) -> None:
    assert b"".join(end_with_line_feeds([text])) == expected
    assert b"".join(end_with_line_feeds(cut(text, 3))) == expected
