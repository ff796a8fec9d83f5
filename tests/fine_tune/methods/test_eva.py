"""EVA is PEFT's; what is ours is that it is asked of the rows that are trained."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fine_tune.checked_rows import checked_trainer
from fine_tune.libraries import quiet_libraries
from fine_tune.settings import TrainSettings
from storage.exports_manifest import read_manifest

SETTINGS = TrainSettings.model_validate(
    {"lora_rank": 2, "batch_rows": 4, "methods": [{"method": "eva"}]}
)


@pytest.mark.slow
def test_ranks_are_shared_out_and_the_model_begins_as_it_was(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(tiny_export)

    def make(settings: TrainSettings, name: str) -> Any:  # noqa: ANN401
        with quiet_libraries():
            return checked_trainer(tiny_export, manifest, tiny_model, tmp_path / name, settings)

    begun, again = make(SETTINGS, "a"), make(SETTINGS, "b")
    plain = make(SETTINGS.model_copy(update={"methods": ()}), "c").trainer
    model = begun.trainer.loaded_model()
    adapters = {name: weights for name, weights in model.named_parameters() if "lora_A" in name}
    assert sum(len(weights) for weights in adapters.values()) == 2 * 14, "the sum of ranks stays"
    assert begun.notes[0].startswith("eva: ranks from ") and len(adapters) <= 14
    for weights in adapters.values():  # singular vectors, which drawn ones are not
        directions = torch.nn.functional.normalize(weights.detach(), dim=1)
        gram = directions @ directions.T
        torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-3, rtol=0)
    rows = [{k: row[k] for k in ("input_ids", "labels")} for row in plain.train_dataset]
    assert begun.trainer.loss_of_batch(rows) == plain.loss_of_batch(rows)
    same = dict(again.trainer.loaded_model().named_parameters())
    assert all(torch.equal(weights, same[name]) for name, weights in adapters.items())
