import json
from pathlib import Path

from benchmarks.diverse_filter import main, plain_filter


def test_the_loop_keeps_what_is_not_too_similar_to_a_kept_row() -> None:
    rows = [[1.0, 0.0], [2.0, 0.2], [0.0, 3.0], [0.6, 0.8], [-1.0, 0.0]]
    assert plain_filter(rows, [1, 0, 3, 2, 4], 9) == [1, 3, 2, 4]
    assert plain_filter(rows, [1, 0, 3, 2, 4], 2) == [1, 3]


def test_both_sides_keep_the_same_rows(tmp_path: Path) -> None:
    small = ["--rows", "1500", "--dimensions", "24", "--picks", "120"]
    assert main([*small, "--out", str(tmp_path / "result.json")]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["identical"] and result["picks"] == 120
    assert 0 < result["passed_over"] < 120
