"""Without data the benchmark says that it measured nothing."""

from pathlib import Path

import pytest

from benchmarks.dedupe_quality import DATA_VARIABLE, main, read_texts


@pytest.mark.parametrize("value", [None, "", "/nowhere"])
def test_says_that_it_was_skipped(
    value: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(DATA_VARIABLE, value)
    assert main(["--out", str(tmp_path / "result.json")]) == 0
    assert capsys.readouterr().err.startswith("skipped, nothing was measured: set SLUICE_REAL_DATA")
    assert not (tmp_path / "result.json").exists()


def test_reads_alpaca_rows_as_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "instruct" / "alpaca_9k.json"
    file.parent.mkdir()
    file.write_text('[{"instruction": "Add.", "input": "", "output": "2"}]')
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert read_texts() == ["Add.\n2"]
