import hashlib

import pytest

from pipeline.ingest import rows
from pipeline.ingest.rows import (
    OversizedRow,
    RawRow,
    UnreadableRow,
    cut_raw,
    read_json_row,
    too_large,
)

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
    monkeypatch.setattr(rows, "KEPT_BYTES", 10)
    row = OversizedRow(12)
    for piece in (b"abcdef", b"ghijkl", b"mnopqr"):
        row.add(piece)
    found = row.unreadable(3)
    assert found.raw == b"abcdefghij"
    assert "18 bytes" in found.detail and "first 10 are kept" in found.detail
    assert hashlib.sha256(b"abcdefghijklmnopqr").hexdigest() in found.detail
    assert "sha256" not in too_large(3, b"abc", 2).detail


def test_a_row_is_whole_until_it_is_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "KEPT_BYTES", 2)
    row = OversizedRow(6)
    for piece in (b"abc", b"def"):
        row.add(piece)
    assert not row.is_over and bytes(row.kept) == b"abcdef"
    row.add(b"g")
    assert row.is_over and bytes(row.kept) == b"ab"


def test_of_a_long_row_the_quarantine_keeps_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "KEPT_BYTES", 4)
    short = UnreadableRow(1, "invalid_json", "why", b"abcd")
    assert cut_raw(short) is short
    cut = cut_raw(short._replace(raw=b"abcde"))
    assert cut.raw == b"abcd"
    assert cut.detail.startswith("why; its first 4 are kept, sha256 of all of it 36bbe50ed96841d1")
