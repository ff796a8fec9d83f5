from pathlib import Path

import pytest

from pipeline.ingest.bounds import bound_rows


@pytest.mark.parametrize(("content", "rows"), [(b"", 0), (b"{}\n{}\n", 2), (b"{}\n{}", 2)])
def test_rows_are_bounded_without_parsing(tmp_path: Path, content: bytes, rows: int) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    assert bound_rows(str(tmp_path / "a.jsonl"), None) == rows
