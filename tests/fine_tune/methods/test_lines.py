from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from fine_tune.methods.lines import LiNeS, depth_factors
from tests.tiny_models import tiny_llama


def names(layers: int) -> list[str]:
    return ["model.embed_tokens.weight", *(f"model.layers.{n}.mlp.weight" for n in range(layers))]


def test_factors_grow_with_depth() -> None:
    factors = depth_factors(names(5), 0.2)
    assert list(factors.values()) == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_one_block_keeps_all_and_no_block_is_refused() -> None:
    assert depth_factors(names(1), 0.2)["model.layers.0.mlp.weight"] == 1
    with pytest.raises(ValueError, match="no blocks named layers"):
        depth_factors(["transformer.h.0.weight"], 0.2)


@pytest.mark.parametrize("first", [0.0, 0.3, 1.0])
def test_the_change_of_each_weight_is_scaled(first: float) -> None:
    start, trained = tiny_llama(0), tiny_llama(1)
    change = {
        name: (new - old).detach().clone()
        for (name, old), (_, new) in zip(
            start.named_parameters(), trained.named_parameters(), strict=True
        )
    }
    LiNeS(method="lines", first=first).finish_model(trained, lambda: tiny_llama(0), ())
    factors = depth_factors(list(change), first)
    for (name, old), (_, new) in zip(
        start.named_parameters(), trained.named_parameters(), strict=True
    ):
        torch.testing.assert_close(new - old, change[name] * factors[name], atol=1e-6, rtol=1e-5)


def test_an_adapter_is_scaled_as_the_weights_it_stands_for() -> None:
    adapter = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(tiny_llama(), adapter)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    tuner = model.base_model.model.model.layers
    before = [layer.mlp.up_proj.get_delta_weight("default").clone() for layer in tuner]

    def never() -> torch.nn.Module:
        pytest.fail("the start is not needed: an adapter is a change already")

    LiNeS(method="lines", first=0.25).finish_model(model, never, ())
    for layer, change, kept in zip(tuner, before, (0.25, 1.0), strict=True):
        torch.testing.assert_close(layer.mlp.up_proj.get_delta_weight("default"), change * kept)
