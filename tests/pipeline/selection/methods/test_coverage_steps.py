"""The steps that compare embeddings, in a run: what they are given, and what is written down."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.ranking.budget import Budget
from pipeline.ranking.outcome import Outcome
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.methods.facility_location import Coverage, select_facility_location
from pipeline.selection.methods.k_centre import select_k_centre
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from storage.selections import read_run_selections, read_selection
from tests.stage_runner import count_words, score, start, store_measurement

ROWS, SEED = 30, 3
TURNED = np.random.default_rng(5).uniform(0, 2 * np.pi, ROWS)
VECTORS = np.stack((np.cos(TURNED), np.sin(TURNED)), axis=1).astype(np.float32)


def expected(method: dict[str, Any], ids: np.ndarray, lengths: np.ndarray) -> Outcome:
    budget = Budget(rows=4)
    if method["method"] == "k_centre":
        return select_k_centre(VECTORS, ids, budget)
    given = Coverage(method.get("distance", "cosine"), method.get("most_rows", 20_000), SEED)
    scores = lengths.astype(np.float64) if "score" in method else None
    return select_facility_location(VECTORS, ids, budget, None, scores, given)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        {"method": "k_centre"},
        {"method": "facility_location"},
        {"method": "facility_location", "distance": "euclidean", "most_rows": 12},
        {"method": "facility_location", "score": "response_length"},
    ],
    ids=["k_centre", "facility_location", "of a sample", "weighted"],
)
def test_a_step_picks_by_the_stored_embeddings(method: dict[str, Any], tmp_path: Path) -> None:
    lines = [{"prompt": f"q{at}", "completion": "word " * (at % 7 + 1)} for at in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run, pool = start(tmp_path / "workspace", [tmp_path / "rows.jsonl"], seed=SEED)
    run = count_words(run, pool)
    vectors = pa.array(VECTORS.tolist(), pa.list_(pa.float32()))
    columns = {"state": pa.array(["ok"] * ROWS), "embedding": vectors}
    run = store_measurement(run, "embeddings", pool, columns)
    run = replace(run, measures={**run.measures, "embeddings_both": run.measures["embeddings"]})
    run = score(run, ScoreSettings(scorer="response_length"), pool)
    step = {**method, "budget": {"rows": 4}}
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": [step]}), pool)
    with read_workspace(run.workspace) as con:
        choice = read_selection(con, read_run_selections(con, run.run_id)["choice"].selection_id)[0]
        found = con.execute(
            "select example_id, reason, because_of from decisions "
            "where stage = 'select' and outcome = 'dropped'"
        ).fetchall()
        tokens = dict(
            con.execute("select example_id, response_tokens from token_counts").fetchall()
        )
    ids = np.array(pool, dtype=object)
    outcome = expected(method, ids, np.array([tokens[each] for each in pool]))
    assert choice == ids[outcome.indices].tolist()
    causes = [None if row < 0 else ids[row] for row in outcome.because_of]
    said = zip(pool, outcome.reasons, causes, strict=True)
    assert sorted(found) == sorted(each for each in said if each[1])
