"""Grade-school sums among general instructions: both scorers find them.

Needs SLUICE_REAL_DATA to name a folder with instruct/alpaca_9k.json and gsm8k/train.jsonl.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.real_rows import ALPACA, alpaca_pairs, real_data
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.scoring.targets import read_targets
from storage.database import read_workspace
from storage.examples import read_examples
from storage.scores import read_scores
from tests.stage_runner import measure, score, start

SUMS = Path("gsm8k") / "train.jsonl"
DATA = real_data(ALPACA, SUMS)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DATA is None, reason="SLUICE_REAL_DATA names no folder with the rows"),
]

GENERAL = 24


def write(path: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    rows = [json.dumps({"prompt": prompt, "completion": answer}) for prompt, answer in pairs]
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, list[str]]:
    """A pool of 24 general rows and 8 sums; 5 other sums as targets."""
    assert DATA is not None
    folder = tmp_path_factory.mktemp("real")
    sums = [json.loads(line) for line in (DATA / SUMS).read_text().splitlines()[:13]]
    pairs = [(row["question"], row["answer"]) for row in sums]
    pool = write(folder / "pool.jsonl", [*alpaca_pairs(DATA, GENERAL), *pairs[:8]])
    run, ids = start(folder / "w", [pool])
    wanted = [SourceSettings(path=str(write(folder / "wanted.jsonl", pairs[8:])))]
    sources = identify_sources(run.workspace, wanted)
    ingest_sources(run.workspace, sources)
    targets = read_targets(run.workspace, [source.source_id for source in sources])
    gradients = {
        "model": "wheel:smollm2-135m-instruct",
        "layers": 2,
        "warmup_share": 0.5,
        "epochs": 1,
        "batch_rows": 8,
        "learning_rate": 2e-4,
        "rank": 8,
        "alpha": 32,
        "dimension": 512,
    }
    asked = MeasureSettings.model_validate({"gradients": gradients, "embeddings": [{}]})
    run, counts = measure(replace(run, targets=targets), asked, ids)
    assert counts == {"embeddings_both": 37, "gradients": 32, "target_gradients": 5}
    return run, ids


@pytest.mark.parametrize(
    "settings",
    [ScoreSettings(scorer="got_d", of="both"), ScoreSettings(scorer="less")],
    ids=lambda settings: settings.scorer,
)
def test_sums_are_found(made: tuple[RunContext, list[str]], settings: ScoreSettings) -> None:
    run, ids = made
    run = score(run, settings, ids)
    with read_workspace(run.workspace) as con:
        values, states = read_scores(con, run.scores[settings.scorer], ids)
        examples = read_examples(con, ids)
    assert set(states) == {"ok"}
    sums = np.array(["####" in example.response for example in examples])
    assert sums.sum() == 8
    above = (values[sums][:, None] > values[~sums]).mean()
    assert above > 0.95, f"a sum stands above a general row in {above:.2f} of all pairs"
    if settings.scorer == "less":  # products of plain gradients would prefer short rows
        lengths = np.array([len(example.response) for example in examples])[~sums]
        assert np.corrcoef(values[~sums], np.log1p(lengths))[0, 1] > -0.2
