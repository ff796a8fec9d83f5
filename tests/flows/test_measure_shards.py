"""What a measure of a run says while it works."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Self

import pyarrow as pa
import pytest

from flows import measure_shards, progress
from flows.measure_shards import measure_job
from pipeline.measuring.measure import ExampleInputs, MeasureJob
from pipeline.measuring.shard_work import MeasuredShard, Shard, measure_shard
from pipeline.progress import Report, tell_nobody
from pipeline.settings import Settings
from storage.measurements import MeasureKey
from tests.stage_runner import count_words, start


class Training(Settings, ExampleInputs):
    """A measure of one shard, which takes two steps."""

    whole_pool: ClassVar[bool] = True
    report: Report = tell_nobody

    def key(self) -> MeasureKey:
        return MeasureKey("losses", "letters", "letters", "", {"version": 1})

    def telling(self, report: Report) -> Self:
        return self.model_copy(update={"report": report})

    def measure(self, examples: pa.Table) -> pa.Table:
        for step in (1, 2):
            self.report("measure: losses, training", step, 2)
        n = len(examples)
        columns = {"state": ["ok"] * n, "detail": [""] * n, "mean_nll": [1.0] * n}
        return pa.table({"example_id": examples["example_id"], **columns})


def test_the_steps_of_a_training_are_said_before_its_rows_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def do_here(
        work: object, pieces: Iterable[tuple[Shard, str]], anywhere: bool
    ) -> Iterator[tuple[Shard, MeasuredShard]]:
        return ((shard, measure_shard(shard)) for shard, _ in pieces)

    monkeypatch.setattr(measure_shards, "do_all", do_here)
    page = SimpleNamespace(at=lambda done, total: None)  # else a server is started for it
    monkeypatch.setattr(measure_shards, "ProgressArtifact", lambda *_: page)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    lines = [json.dumps({"prompt": f"q{n}", "completion": "a"}) for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    sizes = count_words(run, ids).measures["token_counts"]
    job = MeasureJob(Training(), ids, len(ids))
    assert measure_job(run.workspace, "recipe", "losses", job, sizes) == 3
    said = [line.rpartition(", ")[0] for line in capsys.readouterr().err.splitlines()]
    assert said[-4:] == [
        "measure: losses, 0 of 3 rows",
        "measure: losses, training, 1 of 2 steps",
        "measure: losses, training, 2 of 2 steps",
        "measure: losses, 3 of 3 rows",
    ]
