"""A file that is JSON, and not JSON Lines, is refused with what to do; bad lines alone are not."""

from collections.abc import Iterator

import pytest

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.json_lines import require_json_lines
from pipeline.ingest.lines import read_lines
from pipeline.ingest.rows import OversizedRow, UnreadableSourceError


def lines(text: bytes) -> list[object]:
    return list(require_json_lines(read_lines([text], 1000)))


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (b'[{"a": 1}, {"a": 2}]', "format json"),
        (b'\n [ {"a": 1},\n{"a": 2}]\n', "format json"),
        (b'[\n  {\n    "a": 1\n  }\n]\n', "format json"),
        (b'{\n  "a": 1\n}\n{\n  "a": 2\n}\n', "jq -c"),
        (b'\n{\r\n\t"a": [\r\n', "jq -c"),
    ],
)
def test_other_layouts_are_refused(text: bytes, advice: str) -> None:
    with pytest.raises(UnreadableSourceError, match=advice):
        lines(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\n",
        b'{"a": 1}',
        b'{"a": 1}\n{"a": 2}\n',
        b'{"a": \n{"a": 2}\n',  # a row that broke off, and a good one
        b'{"a": [\nnonsense\n',
        b'{\n"a": 1}\n',
        b'{\n "a": 1}\n',  # two bad lines, as far as anybody can tell
        b'{"a": "b\n"c"}\n',
        b'[{"a": 1}]\n{"a": 2}\n',  # an array among rows costs itself
        b"[1, 2]\n",
        b"[]\n",
    ],
)
def test_lines_are_given_on_as_they_are(text: bytes) -> None:
    assert lines(text) == list(read_lines([text], 1000))


def test_a_large_array_in_one_line_is_known_by_its_beginning() -> None:
    with pytest.raises(UnreadableSourceError, match="format json"):
        row = OversizedRow(1000)
        row.add(b'[{"a": 1},' + b" " * 5000)
        list(require_json_lines(iter([row])))


def test_what_was_had_before_a_break_is_given() -> None:
    def broken() -> Iterator[bytes]:
        yield b'{"a": 1}'
        raise BrokenStreamError("ends early", b"rest")

    given = require_json_lines(broken())
    assert next(given) == b'{"a": 1}'
    with pytest.raises(BrokenStreamError):
        next(given)
