"""EVA is PEFT's; what is ours is that it is asked of the rows that are trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights

from fine_tune.checked_rows import checked_trainer
from fine_tune.libraries import quiet_libraries
from fine_tune.methods.eva import EVA
from fine_tune.settings import TrainSettings
from storage.exports_manifest import read_manifest
from tests.fine_tune.test_kept_base import batches
from tests.tiny_models import tiny_llama

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


def fresh(rank: int = 2) -> Any:  # noqa: ANN401 - peft
    return get_peft_model(
        tiny_llama(), LoraConfig(r=rank, target_modules="all-linear", init_lora_weights="eva")
    )


def directions(model: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401 - peft
    return {name: w.detach() for name, w in model.named_parameters() if "lora_A" in name}


def test_where_all_stand_in_time_it_is_what_peft_does() -> None:
    bounded, theirs = fresh(), fresh()
    said = EVA(method="eva", still=0.9).init_adapter(bounded, batches())
    config = theirs.peft_config["default"]
    config.eva_config = EvaConfig(rho=2.0, tau=0.9)
    initialize_lora_eva_weights(theirs, batches(), show_progress_bar=False)
    found, wanted = directions(bounded), directions(theirs)
    assert found.keys() == wanted.keys() and "moved" not in said
    assert all(torch.equal(weights, wanted[name]) for name, weights in found.items())
    assert type(bounded.peft_config["default"].eva_config.tau) is float, "as it is saved"


def test_directions_that_never_stand_are_taken_as_they_are() -> None:
    model, passes = fresh(), []
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    said = EVA(method="eva", still=1 - 1e-12, most_batches=5).init_adapter(model, batches())
    assert said.endswith("layers; some directions still moved after 5 batches")
    assert len(passes) == 1 + 5, "one to see which layers read the same"
    assert sum(len(weights) for weights in directions(model).values()) == 2 * 14


def test_a_batch_with_fewer_trained_tokens_than_directions_is_not_read() -> None:
    method, few = EVA(method="eva", most_batches=2), batches()[0]
    few = {**few, "labels": few["labels"].clone()}
    few["labels"][:, :-1] = -100
    with pytest.raises(ValueError, match="looks for 4 directions in a batch, and no batch"):
        method.init_adapter(fresh(), [few])
    model, alone = fresh(), fresh()
    method.init_adapter(model, [few, *batches()])
    method.init_adapter(alone, batches())
    found = directions(alone)
    assert all(torch.equal(weights, found[n]) for n, weights in directions(model).items())
