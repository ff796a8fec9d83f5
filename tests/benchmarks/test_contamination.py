"""The benchmark's own truth, and what it says without data."""

from pathlib import Path

import pytest

from benchmarks.contamination import count_kinds, exhaustive_pairs, judge_pairs, main, own_items
from benchmarks.real_rows import DATA_VARIABLE
from pipeline.contamination.leaks import Leak
from pipeline.contamination.texts import TurnText

WORDS = " ".join(f"w{n}" for n in range(20))


def test_says_that_it_was_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert main(["--out", str(tmp_path / "result.json")]) == 0
    assert capsys.readouterr().err.startswith("skipped, nothing was measured")
    assert not (tmp_path / "result.json").exists()


def test_the_truth_is_every_pair_that_shares_thirteen_words() -> None:
    rows = [("x", WORDS), (" ".join(WORDS.split()[:12]), "no"), ("w6 w7", WORDS[24:])]
    items = [(WORDS, "y"), ("z", "z")]
    assert exhaustive_pairs(rows, items) == {(1, 1), (3, 1)}
    assert judge_pairs({(1, 1), (2, 2)}, {(1, 1)}) == {"pairs_found": 1, "other_pairs": 1}


def test_a_leak_counts_with_its_own_item_once() -> None:
    row = [TurnText("user", "x")]
    leaks = [Leak(4, "verbatim", row), Leak(5, "short", row)]
    found = own_items(leaks, {(1, 5), (1, 9), (2, 5)})
    assert found == [1]
    assert count_kinds(leaks, [1, 1])["verbatim"] == 1 and count_kinds(leaks, [1])["short"] == 0
