from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from fine_tune.methods.lora_sb import LoRASB
from fine_tune.settings import TrainSettings
from fine_tune.spanned import fold_in
from fine_tune.train import train_adapter
from tests.fine_tune.test_kept_base import RANK, batches, begun
from tests.fine_tune.tiny import heldout_loss
from tests.tiny_models import tiny_llama

STEP = 1e-3
METHOD = LoRASB(method="lora_sb", first_step=STEP)


def of_query(model: Any) -> Any:  # noqa: ANN401 - peft
    return model.base_model.model.model.layers[0].self_attn.q_proj


def test_it_begins_with_the_first_parts_of_the_first_step() -> None:
    layer = of_query(begun(METHOD))
    plain = tiny_llama()
    plain(**batches()[0]).loss.backward()
    step = -STEP * plain.model.layers[0].self_attn.q_proj.weight.grad.sign()
    u, s, vh = torch.linalg.svd(step)
    found = layer.get_delta_weight("default").detach()
    assert torch.linalg.matrix_rank(found, rtol=1e-4) == RANK
    # No matrix of that rank is nearer; directions of nearly one size may be any of a mixture.
    best = step - u[:, :RANK] * s[:RANK] @ vh[:RANK]
    assert float((step - found).norm()) == pytest.approx(float(best.norm()), rel=0.01)
    with torch.no_grad():
        weight = layer.get_base_layer().weight
        hidden = torch.randn(1, 5, weight.shape[1])
        # The scale is 1, not the 3 that lora_alpha says.
        torch.testing.assert_close(layer(hidden), hidden @ (weight + found).T, atol=1e-5, rtol=0)


def test_a_small_matrix_alone_is_trained_and_no_gradient_is_left() -> None:
    model = begun(METHOD)
    trained = {n: w for n, w in model.named_parameters() if w.requires_grad}
    assert len(trained) == 2 * 7 and all(w.shape == (RANK, RANK) for w in trained.values())
    assert all(w.grad is None for w in model.parameters())
    layer = of_query(model)
    (between,) = layer.lora_B["default"].parameters()
    model(**batches()[0]).loss.backward()
    plain: Any = get_peft_model(
        tiny_llama(),
        LoraConfig(r=RANK, lora_alpha=RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    with torch.no_grad():
        for mine, other in zip(layers_of(model), layers_of(plain), strict=True):
            other.lora_A["default"].weight.copy_(mine.lora_A["default"].weight)
            other.lora_B["default"].weight.copy_(mine.lora_B["default"].weight)
    plain(**batches()[0]).loss.backward()
    basis = layer.lora_B["default"].parametrizations.weight[0].basis
    expected = basis.T @ of_query(plain).lora_B["default"].weight.grad
    torch.testing.assert_close(between.grad, expected, atol=1e-6, rtol=1e-4)


def layers_of(model: Any) -> list[Any]:  # noqa: ANN401 - peft
    return [each for each in model.modules() if hasattr(each, "lora_A")]


def test_written_it_is_an_ordinary_adapter(tmp_path: Path) -> None:
    model = begun(METHOD)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    ids = batches()[0]["input_ids"]
    trained = model(input_ids=ids).logits
    fold_in(model)
    model.save_pretrained(tmp_path)
    names = load_file(tmp_path / "adapter_model.safetensors")
    assert {name.rpartition(".lora_")[2] for name in names} == {"A.weight", "B.weight"}
    read = PeftModel.from_pretrained(tiny_llama(), str(tmp_path))
    config = read.peft_config["default"]
    assert isinstance(config, LoraConfig) and config.r == config.lora_alpha == RANK
    plain = read(input_ids=ids).logits
    torch.testing.assert_close(plain, trained, atol=1e-5, rtol=0)
    merged = read.merge_and_unload()(input_ids=ids).logits
    torch.testing.assert_close(merged, trained, atol=1e-4, rtol=0)
    assert not torch.allclose(trained, tiny_llama()(input_ids=ids).logits, atol=1e-2)


def test_a_rank_that_the_smallest_layer_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lora_sb finds 32 directions .* lower lora_rank"):
        begun(METHOD, rank=33)


@pytest.mark.slow
def test_the_loss_before_is_that_of_the_model_without_its_first_step(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    methods = [{"method": "lora_sb", "first_step": 0.02, "rows": 8}]
    settings = {"lora_rank": 8, "learning_rate": 1e-2, "epochs": 3, "methods": methods}
    report = train_adapter(
        tiny_export, tiny_model, tmp_path / "out", TrainSettings.model_validate(settings)
    )
    assert report.heldout_before == heldout_loss(tiny_model, None, tiny_export)
    read = heldout_loss(tiny_model, tmp_path / "out" / "adapter", tiny_export)
    assert report.heldout_after is not None
    assert read.nats_per_token == pytest.approx(report.heldout_after.nats_per_token, rel=1e-5)
    assert read.nats_per_token < report.heldout_before.nats_per_token - 0.05
    for name, weights in load_file(tmp_path / "out/adapter/adapter_model.safetensors").items():
        if "lora_A" in name:  # as it began: the directions of the step, at right angles
            torch.testing.assert_close(weights @ weights.T, torch.eye(8), atol=1e-5, rtol=0)
    assert report.method_notes == (
        "lora_sb: begins with a step of 0.02 by at least 8 rows; 64 numbers trained in each of 14 "
        "layers",
    )
