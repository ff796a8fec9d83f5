"""What a run says of rows that a template does not write as they are."""

from pathlib import Path

import pyarrow as pa

from pipeline.measuring.faults import count_faults, fault_lines
from storage.database import read_workspace
from tests.stage_runner import start, store_measurement


def test_reasons_are_told_with_their_rows_and_what_is_trained_otherwise(tmp_path: Path) -> None:
    lines = "".join(f'{{"prompt": "p{n}", "completion": "r"}}\n' for n in range(5))
    (tmp_path / "rows.jsonl").write_text(lines)
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    texts = pa.list_(pa.string())
    columns = {
        "state": pa.array(["failed", "failed", "truncated", "ok", "ok"]),
        "detail": pa.array(["message 1 is odd", "message 2 is odd", "too long", "", ""]),
        "placements": pa.array(
            [None, None, ["in_place"], ["rewritten", "in_place"], ["in_place"]], texts
        ),
        "unwritten": pa.array([["reasoning"], None, [], ["system text"], []], texts),
        "unstopped": pa.array([0, None, 1, 2, 0]),
    }
    run = store_measurement(run, "token_counts", pool, columns)
    key = run.measures["token_counts"]
    with read_workspace(run.workspace) as con:
        faults = count_faults(con, key, pool, pool)
        last = count_faults(con, key, pool, pool[-1:])
        none = count_faults(con, key, pool[-1:], pool[-1:])
    assert fault_lines(faults) == [
        "2 rows failed: message 1 is odd",
        "1 of 4 trained turns are rows of their own: the template writes them otherwise once "
        "others follow",
        "the template leaves out the reasoning of 1 rows",
        "the template leaves out the system text of 1 rows",
        "2 rows have a turn that ends without an end-of-text or end-of-turn token: a model "
        "trained on them does not learn to stop",
    ]
    assert faults.placements == {"in_place": 3, "rewritten": 1}
    assert fault_lines(last) == ["2 rows failed: message 1 is odd"], "of the pool, not of the kept"
    assert fault_lines(none) == []
