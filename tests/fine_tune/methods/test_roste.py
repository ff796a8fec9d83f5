from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaForCausalLM

from fine_tune.methods.roste import ErrorMeter, RoSTE
from fine_tune.rounding import RoundedLayer, draw_signs, rotate, round_inputs, round_rows
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from tests.fine_tune.test_kept_base import batches
from tests.fine_tune.test_train import files_of
from tests.fine_tune.tiny import heldout_loss
from tests.tiny_models import tiny_llama

METHOD = RoSTE(method="roste")
FULL = {"tune": "full", "learning_rate": 1e-2}


def rounded_layers(model: torch.nn.Module) -> dict[str, Any]:
    return {
        name.removesuffix(".parametrizations.weight.0"): each
        for name, each in model.named_modules()
        if isinstance(each, RoundedLayer)
    }


def spiked_llama() -> Any:  # noqa: ANN401 - transformers' is not typed
    """A tiny model: one of its matrices has an outlier in each row, which costs steps."""
    model: Any = tiny_llama()
    torch.nn.init.constant_(model.model.layers[0].mlp.up_proj.weight[:, 5], 3.0)
    return model


def test_every_linear_layer_but_the_head_is_rounded() -> None:
    model = tiny_llama()
    note = METHOD.prepare_model(model, batches(), 0)
    assert len(rounded_layers(model)) == 14 and "lm_head" not in str(rounded_layers(model))
    assert note.startswith("14 linear layers compute with 4 bits, and read 4; ")
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("bits", [4, None])
def test_a_layer_is_turned_where_its_numbers_are_then_nearer(bits: int | None) -> None:
    model: Any = spiked_llama()
    RoSTE(method="roste", activation_bits=bits).prepare_model(model, batches(), 0)
    name = "model.layers.0.mlp.up_proj"
    rotated = model.config.roste["rotated"]
    assert rotated[name] == list(rounded_layers(model)).index(name)
    turned = {name for name, each in rounded_layers(model).items() if each.signs is not None}
    assert turned == set(rotated) and len(turned) < 14, "not all are turned"


def test_errors_are_of_weights_and_of_the_mean_token_by_hand() -> None:
    torch.manual_seed(0)
    layer, signs = torch.nn.Linear(16, 5, bias=False), draw_signs(16, 0, 0)
    ways = (RoundedLayer(None, 3, 2, 1.0), RoundedLayer(signs, 3, 2, 1.0))
    meter, inputs = ErrorMeter(layer, ways), [torch.randn(1, 4, 16), torch.randn(1, 2, 16)]
    for each in inputs:
        layer(each)
    weight, read = layer.weight.detach(), torch.cat([each[0] for each in inputs])
    expected = []
    for turning in (None, signs):
        w, x = rotate(weight, turning), rotate(read, turning)
        of_tokens = (round_inputs(x, 2, 1.0) - x).square().sum(-1).mean()
        expected.append(float((round_rows(w, 3, 1.0) - w).square().sum() + of_tokens))
    assert meter.errors() == pytest.approx(tuple(expected), rel=1e-4)
    layer(inputs[0])
    assert meter.tokens == 6, "it looks no more"


def test_padding_and_the_rows_after_those_asked_for_are_not_looked_at() -> None:
    def seen(rows: int, given: list[dict[str, torch.Tensor]]) -> int:
        tokens: list[int] = []
        model: Any = tiny_llama()
        model.model.layers[0].self_attn.q_proj.register_forward_pre_hook(
            lambda _, x: tokens.append(x[0].shape[1])
        )
        RoSTE(method="roste", rows=rows).prepare_model(model, given, 0)
        return sum(tokens)

    assert seen(99, batches()) == 3 * 30 + 15
    assert seen(2, batches()) == 2 * 30


def test_methods_that_would_undo_the_rounding_are_refused() -> None:
    roste, harmful = {"method": "roste"}, {"method": "antidote", "harmful": {"export": "h"}}
    for other, told in (
        ({"method": "lines"}, "lines would move the weights from the steps that roste"),
        (harmful, "antidote would move the weights"),
        ({"method": "mezo"}, "mezo compares losses of weights that roste rounds to the same"),
        ({"method": "hft"}, "roste and hft all change the parameters"),
    ):
        with pytest.raises(ValidationError, match=told):
            TrainSettings.model_validate({**FULL, "methods": [roste, other]})
    for settings, told in (
        ({"tune": "lora", "methods": [roste]}, "roste is not for tune: lora"),
        ({"methods": [roste], "soup": {"seeds": [0, 1]}}, "soup: roste rounds weights, whose mean"),
        ({"stages": [{"methods": [roste]}, {}]}, "it belongs to the last stage"),
    ):
        with pytest.raises(ValidationError, match=told):
            TrainSettings.model_validate({**FULL, **settings})
    TrainSettings.model_validate({**FULL, "stages": [{}, {"methods": [roste]}]})


def train(model: Path, export: Path, output: Path, **more: object) -> tuple[Any, LlamaForCausalLM]:
    methods = [{"method": "roste", "weight_bits": 4, **more}]
    settings = TrainSettings.model_validate({**FULL, "epochs": 4, "methods": methods})
    report = train_adapter(export, model, output, settings)
    return report, LlamaForCausalLM.from_pretrained(output / "model")


@pytest.mark.slow
def test_what_is_written_has_so_many_bits_and_learnt_with_them(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report, model = train(tiny_model, tiny_export, out, activation_bits=None, clip=0.9)
    assert report.heldout_before == heldout_loss(tiny_model, None, tiny_export)
    read = heldout_loss(out / "model", None, tiny_export)
    assert read.nats_per_token == pytest.approx(report.heldout_after.nats_per_token, rel=1e-5)
    assert read.nats_per_token < report.heldout_before.nats_per_token - 0.5
    said = model.config.roste
    assert said["weight_bits"] == 4 and said["clip"] == 0.9 and said["activation_bits"] is None
    linear = {n: each for n, each in model.named_modules() if isinstance(each, torch.nn.Linear)}
    del linear["lm_head"]
    assert len(linear) == 14 and 0 < len(said["rotated"]) < 14
    for name, layer in linear.items():
        place = said["rotated"].get(name)
        signs = None if place is None else draw_signs(layer.in_features, said["seed"], place)
        turned = rotate(layer.weight.detach(), signs)
        steps = turned / (turned.abs().amax(-1, keepdim=True) / 7)  # clipped: every row reaches 7
        torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
        assert len(set(steps.round().flatten().tolist())) > 8
    again, _ = train(tiny_model, tiny_export, tmp_path / "again", activation_bits=None, clip=0.9)
    assert again == report and files_of(out) == files_of(tmp_path / "again")


@pytest.mark.slow
def test_rounded_activations_are_in_the_loss_after(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    report, _ = train(tiny_model, tiny_export, tmp_path / "out", activation_bits=2)
    unrounded = heldout_loss(tmp_path / "out" / "model", None, tiny_export).nats_per_token
    assert abs(report.heldout_after.nats_per_token - unrounded) > 1e-3
    assert report.heldout_after.nats_per_token < report.heldout_before.nats_per_token
