"""CorDA is PEFT's; what is ours is what it reads. The rest is in ../test_kept_base.py."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from fine_tune.methods.corda import CorDA, read_all, unpadded
from fine_tune.mixed_export import MixedExport
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from tests.fine_tune.test_kept_base import RANK, batches, begun
from tests.fine_tune.test_train import files_of
from tests.fine_tune.tiny import count_rows, export_for, heldout_loss, make_rows

KEPT = CorDA(method="corda", knowledge=MixedExport(export="questions"))


def test_rows_are_read_one_by_one_without_padding() -> None:
    shapes = [tuple(ids.shape) for ids in unpadded([*batches(), *batches()])]
    assert shapes == 2 * [(1, 30), (1, 30), (1, 30), (1, 15)]


def test_so_many_rows_are_read_and_the_report_says_of_what() -> None:
    said: list[str] = []
    for method in (CorDA(method="corda", rows=3), KEPT):
        begun(method, notes=said)
    assert said[0].endswith("; what 3 of the rows make most of")
    assert said[1].endswith("; what 4 rows of questions make least of")


@pytest.mark.parametrize("knowledge", [False, True])
def test_it_begins_with_what_the_weights_do_to_the_inputs(knowledge: bool) -> None:
    model, inputs = begun(KEPT if knowledge else CorDA(method="corda")), []
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0][0]))
    with torch.no_grad():
        read_all(model, unpadded(batches()))
    covariance = sum(x.T @ x / x.max().abs() ** 2 for x in inputs) / len(inputs)
    damped = covariance + 0.01 * covariance.diag().mean() * torch.eye(len(covariance))
    u, s, vh = torch.linalg.svd(layer.base_layer.weight @ damped, full_matrices=False)
    parts = slice(-RANK, None) if knowledge else slice(RANK)
    wanted = u[:, parts] * s[parts] @ vh[parts] @ torch.linalg.inv(damped)
    down, up = layer.lora_A["default"].weight[:RANK], layer.lora_B["default"].weight[:, :RANK]
    torch.testing.assert_close(3 * up @ down, wanted, atol=1e-4, rtol=1e-3)


def test_a_training_without_knowledge_is_the_one_it_was() -> None:
    assert json.loads(CorDA(method="corda").model_dump_json()) == {"method": "corda", "rows": 256}
    with pytest.raises(ValidationError, match="give knowledge the export that they are in"):
        TrainSettings.model_validate({"methods": [{"method": "corda", "knowledge": {}}]})


@pytest.mark.slow
def test_the_rows_looked_at_are_those_of_the_export_that_is_named(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    own = tmp_path / "exports" / "chat-s1-r1"
    shutil.copytree(tiny_export, own)
    for name, first in (("facts", 0), ("others", 7)):
        rows = count_rows(make_rows(12)[first:][:5], tiny_model)
        export_for(tiny_model, own.parent / f"{name}-s1-r1", rows)

    def trained(**knowledge: object) -> tuple[bytes, str]:
        output = tmp_path / str(len(list(tmp_path.iterdir())))
        method = {"method": "corda", "knowledge": knowledge} if knowledge else {"method": "corda"}
        settings = {"lora_rank": 2, "learning_rate": 1e-2, "methods": [method]}
        report = train_adapter(own, tiny_model, output, TrainSettings.model_validate(settings))
        assert report.heldout_before and report.heldout_after
        read = heldout_loss(tiny_model, output / "adapter", own)
        assert read.nats_per_token == pytest.approx(report.heldout_after.nats_per_token, rel=1e-5)
        return files_of(output)["adapter/adapter_model.safetensors"], report.method_notes[0]

    found = [
        trained(export="facts"),
        trained(export="facts", rows=3),
        trained(export="others"),
        trained(),
    ]
    assert len({weights for weights, _ in found}) == 4
    assert [note.rpartition("; what ")[2] for _, note in found] == [
        "5 rows of facts make least of",
        "3 rows of facts make least of",
        "5 rows of others make least of",
        "12 of the rows make most of",
    ]
    assert trained(export="facts")[0] == found[0][0]
