"""The score stage: stored measurements in, scores with states out."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.scoring.stage import ScoreSettings
from storage.database import read_workspace
from storage.scores import read_scores
from tests.stage_runner import score, start, store_measurement


def test_a_scorer_may_tell_equal_rows_apart_by_their_ids(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "completion": f"r{n}"} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    losses = [None, [1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.5, 0.5]]
    columns = {
        "state": pa.array(["failed", "ok", "ok", "ok", "ok"]),
        "trajectory": pa.array(losses, pa.list_(pa.float64())),
    }
    run = store_measurement(run, "trajectories", pool, columns)
    run = score(run, ScoreSettings(scorer="sftmix_class"), pool)
    with read_workspace(run.workspace) as con:
        values, states = read_scores(con, run.scores["sftmix_class"], pool)
    # The fifth is the most confident; of the three alike the lowest id joins it.
    np.testing.assert_array_equal(values, [np.nan, 1, 0, 0, 1])
    assert states == ["failed", "ok", "ok", "ok", "ok"]
