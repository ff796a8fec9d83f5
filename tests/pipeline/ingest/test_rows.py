import hashlib

import pytest

from pipeline.ingest import rows
from pipeline.ingest.rows import OversizedRow, RawRow, UnreadableRow, oversized, read_json_row

LIMIT = 1000


def test_an_object_is_a_row() -> None:
    assert read_json_row(3, b' {"a": 1}\r', LIMIT) == RawRow(3, {"a": 1}, b' {"a": 1}\r')


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        (b"[1]", "not_an_object", "of type list"),
        (b"null", "not_an_object", "of type NoneType"),
        (b'"a"', "not_an_object", "of type str"),
        (b'{"a": 1', "invalid_json", "end"),
        (b'{"a": "' + b"x" * LIMIT + b'"}', "too_large", f"{LIMIT + 9} bytes, more than {LIMIT}"),
    ],
)
def test_other_rows_are_kept_whole(raw: bytes, reason: str, detail: str) -> None:
    row = read_json_row(3, raw, LIMIT)
    assert isinstance(row, UnreadableRow)
    assert (row.position, row.reason, row.raw) == (3, reason, raw)
    assert detail in row.detail


def test_a_huge_row_is_kept_in_part_with_the_hash_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_KEPT_BYTES", 10)
    row = OversizedRow()
    for piece in (b"abcdef", b"ghijkl", b"mnopqr"):
        row.add(piece)
    found = row.unreadable(3, LIMIT)
    assert found.raw == b"abcdefghij"
    assert "18 bytes" in found.detail and "first 10 are kept" in found.detail
    assert hashlib.sha256(b"abcdefghijklmnopqr").hexdigest() in found.detail
    assert "sha256" not in oversized(b"abc").unreadable(3, 2).detail
