"""Work of a worker: refused where the code or the model is not the run's, and sent small."""

import pickle
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.code_version import OtherWorkerError
from pipeline.generation.asking import CallBatch, answer_batch
from pipeline.generation.makers.answer import Answer
from pipeline.measuring.measures.losses import Losses, LossSettings
from pipeline.measuring.shard_work import Shard, measure_shard
from scorers.measures.protocols import GenerationRequest
from storage.measurements import MeasureKey
from storage.workspace import Workspace
from tests.tiny_models import CHAT, save_tiny_llama


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    from pipeline.measuring.shards import name_shard

    model = save_tiny_llama(tmp_path / "model", chat_template=CHAT)
    measure = Losses(settings=LossSettings(model=str(model), max_tokens=128))
    workspace = Workspace(tmp_path / "w")
    named = name_shard(workspace, measure, measure.key(), ["e1"])
    talk = '[{"role":"user","content":"1 2"},{"role":"assistant","content":"3 4"}]'
    row = {"example_id": "e1", "messages": talk, "tools": "[]", "response_at": 1, "trained_at": [1]}
    workspace.pending.write(named.input, pa.Table.from_pylist([row]))
    return named


def test_a_shard_is_measured_with_nothing_but_its_files(shard: Shard) -> None:
    sent = pickle.dumps(shard)
    assert len(sent) < 3000
    measured = measure_shard(pickle.loads(sent))
    assert measured.name == shard.name and 0 < measured.seconds < 600
    (row,) = shard.measurements.read(shard.output).to_pylist()
    assert (row["example_id"], row["state"]) == ("e1", "ok")
    assert row["measure_key"] == shard.key.measure_key


def test_a_shard_of_other_code_is_refused_even_where_it_is_done(shard: Shard) -> None:
    measure_shard(shard)
    with pytest.raises(OtherWorkerError, match=r"started with 0\.1: install the same version"):
        measure_shard(replace(shard, code="0.1"))


def test_another_model_under_the_same_name_is_refused(shard: Shard, tmp_path: Path) -> None:
    (tmp_path / "model").rename(tmp_path / "moved")
    save_tiny_llama(tmp_path / "model", seed=1, chat_template=CHAT)
    with pytest.raises(OtherWorkerError, match="something else than the run asks for: model "):
        measure_shard(shard)
    assert not shard.done()


def test_another_dtype_is_refused_by_name(shard: Shard) -> None:
    settings = {**shard.key.settings, "dtype": "a dtype"}
    key = MeasureKey("losses", "m", shard.key.model_fingerprint, "", settings)
    same = replace(key, template_fingerprint=shard.key.template_fingerprint)
    with pytest.raises(OtherWorkerError, match=r"for: dtype \w+ instead of a dtype\. "):
        measure_shard(replace(shard, key=same))


def test_a_batch_of_calls_is_refused_likewise(shard: Shard, tmp_path: Path) -> None:
    settings = Answer(model=str(tmp_path / "model"))
    request = GenerationRequest([{"role": "user", "content": "1 2"}], (), 0.0, 2, 0)
    batch = CallBatch(settings, 1, {"k": request}, settings.identity(), tmp_path, shard.code)
    sent = pickle.dumps(batch)
    assert len(sent) < 3000
    (reply,) = answer_batch(pickle.loads(sent))
    assert (reply.reply_key, reply.tokens, reply.kept_at) == ("k", 2, "")
    with pytest.raises(OtherWorkerError, match="started with 0"):
        answer_batch(replace(batch, code="0"))
    with pytest.raises(OtherWorkerError, match="another model"):
        answer_batch(replace(batch, identity="0"))
