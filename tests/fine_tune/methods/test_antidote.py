import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from pydantic import ValidationError
from safetensors.torch import load_file

from fine_tune.methods.antidote import (
    FULL,
    Antidote,
    harmful_weights,
    input_norms,
    pruned_matrices,
)
from fine_tune.methods.corda import unpadded
from fine_tune.mixed_export import MixedExport
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from tests.fine_tune.test_kept_base import batches
from tests.fine_tune.tiny import count_rows, export_for, heldout_loss, make_rows
from tests.tiny_models import tiny_gemma, tiny_llama

METHOD = Antidote(method="antidote", harmful=MixedExport(export="harm"), share=0.25)


def never() -> torch.nn.Module:
    pytest.fail("the start is not needed")


def trained_adapter() -> Any:  # noqa: ANN401 - peft
    config = LoraConfig(
        r=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
    )
    torch.manual_seed(0)
    return get_peft_model(tiny_llama(), config)


def test_of_each_row_the_largest_weights_times_inputs_are_marked() -> None:
    weights = torch.tensor([[1.0, -2.0, 3.0, 4.0, 0.0], [5.0, 1.0, 1.0, -1.0, 9.0]])
    norms = torch.tensor([10.0, 3.0, 1.0, 0.0, 0.1])
    # h: 10, 6, 3, 0, 0 and 50, 3, 1, 0, 0.9; floor(0.4 * 5) = 2 of each row
    marked = harmful_weights(weights, norms, 0.4)
    assert marked.tolist() == [[True, True, False, False, False]] * 2
    assert harmful_weights(weights, norms, 0.19).sum() == 0
    assert harmful_weights(torch.ones(1, 100), torch.ones(100), 0.29).sum() == 29  # not 28


def test_norms_are_of_the_inputs_over_all_tokens_of_all_rows() -> None:
    model, inputs = trained_adapter(), []
    layer = model.base_model.model.model.layers[1].mlp.down_proj
    layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0][0]))
    norms = input_norms(model, pruned_matrices(model), list(unpadded(batches())))
    read = torch.cat(inputs)
    assert len(read) == 30 + 30 + 30 + 15
    name = "base_model.model.model.layers.1.mlp.down_proj.lora_{}.default"
    torch.testing.assert_close(norms[name.format("A")], read.square().sum(0).sqrt())
    between = read @ layer.lora_A["default"].weight.T
    torch.testing.assert_close(norms[name.format("B")], between.square().sum(0).sqrt())


def test_an_adapter_is_pruned_in_both_of_its_matrices_and_nothing_else() -> None:
    model, before = trained_adapter(), dict(trained_adapter().named_parameters())
    said = METHOD.finish_model(model, never, batches())
    kept = cut = 0
    for name, weights in model.named_parameters():
        gone = (weights == 0) & (before[name] != 0)
        assert torch.equal(weights[~gone], before[name][~gone])
        if "lora_" in name:
            assert (gone.sum(1) == weights.shape[1] // 4).all()
            cut, kept = cut + int(gone.sum()), kept + gone.numel()
        else:
            assert not gone.any()
    assert said == f"{cut:,} of {kept:,} numbers in 28 matrices pruned by 4 rows of harm"


def test_of_all_weights_those_of_attention_are_pruned() -> None:
    model, before = tiny_llama(), dict(tiny_llama().named_parameters())
    METHOD.finish_model(model, never, batches())
    moved = {n for n, w in model.named_parameters() if not torch.equal(w, before[n])}
    parts = ("q_proj", "k_proj", "v_proj")
    assert moved == {f"model.layers.{n}.self_attn.{p}.weight" for n in (0, 1) for p in parts}


def test_a_model_without_these_matrices_is_refused_before_it_is_trained() -> None:
    METHOD.require_model(tiny_gemma())
    with pytest.raises(ValueError, match="antidote prunes q_proj, k_proj, v_proj, and this model"):
        METHOD.require_model(torch.nn.Sequential(torch.nn.Linear(3, 3)))


@pytest.mark.parametrize("begun", ["corda", "lora_ga"])
def test_an_adapter_that_takes_something_off_is_not_pruned(begun: str) -> None:
    antidote = METHOD.model_dump()
    for settings in (
        {"methods": [{"method": begun}, antidote]},
        {"stages": [{"methods": [{"method": begun}]}, {"methods": [antidote]}]},
    ):
        with pytest.raises(ValidationError, match=f"antidote would prune what {begun} takes off"):
            TrainSettings.model_validate(settings)


@pytest.mark.slow
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("tune", ["lora", "full"])
def test_what_is_written_is_pruned_by_the_export_that_is_named(
    tune: str, packing: bool, tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    own = tmp_path / "exports" / "chat-s1-r1"
    shutil.copytree(tiny_export, own)
    export_for(tiny_model, own.parent / "harm-s1-r1", count_rows(make_rows(5), tiny_model))
    methods = [{"method": "antidote", "harmful": {"export": "harm"}, "share": 0.25}]
    settings = {"lora_rank": 4, "learning_rate": 1e-2, "tune": tune, "packing": packing}
    report = train_adapter(
        own,
        tiny_model,
        tmp_path / "out",
        TrainSettings.model_validate({**settings, "methods": methods}),
    )
    assert report.method_notes[0].endswith("pruned by 5 rows of harm")
    folder = tmp_path / "out" / ("adapter" if tune == "lora" else "model")
    (file,) = folder.glob("*.safetensors")
    zeros = {name: int((w == 0).sum()) for name, w in load_file(file).items()}
    zeros.pop("model.embed_tokens.weight", None)  # padding's are 0
    pruned = {n for n in zeros if "lora_" in n or n.split(".")[-2] in FULL}
    assert {name for name, count in zeros.items() if count} == pruned
    model, adapter = (tiny_model, folder) if tune == "lora" else (folder, None)
    read = heldout_loss(model, adapter, own)
    assert report.heldout_after is not None
    assert read.nats_per_token == pytest.approx(report.heldout_after.nats_per_token, rel=1e-5)
