"""An adapter that begins with something, beside weights that stay: what it began with is taken off.

PEFT's CorDA and LoRA-GA begin with B0 A0 that is not 0, and take it off the model's own weights, so
that the adapter fits no other copy of the model. Here it is taken off in the adapter:

    W + s (B A - B0 A0) = W + s [B, -B0] [A; A0]        B0, A0 without a gradient

The adapter has twice the rank, the model begins as it was, and its own weights stay as they are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer

ADAPTER_NAME = "default"


def begin_beside_base(
    model: torch.nn.Module, prepare: Callable[[torch.nn.Module, LoraConfig], None], method: str
) -> str:
    """Let PEFT begin an adapter, and put the weights of the model back.

    Args:
        model: with a fresh adapter.
        prepare: what PEFT does before, to the model and to a config that names its linear layers.
        method: as PEFT calls it.

    Returns:
        What was done, for the report.

    Raises:
        ValueError: if the rank is more than what the method finds in the smallest layer.
    """
    config, found_layers = adapter_layers(model)
    layers = list(found_layers.values())
    require_rank(layers, 2 * config.r if method == "lora_ga" else config.r, method)
    training = model.training
    found = LoraConfig(r=config.r, target_modules=["base_layer"])  # as they are called in a layer
    assert isinstance(model, PeftModel)
    base_model: Any = model.get_base_model()
    prepare(base_model, found)
    model.train(training)
    for layer in layers:
        base = layer.get_base_layer()
        kept = base.weight.data.clone()
        if method == "corda":
            layer.corda_init(ADAPTER_NAME, method)
        else:
            layer.lora_ga_init(ADAPTER_NAME, found.lora_ga_config)
        base.weight.data = kept
        take_off_start(layer)
    config.r, config.lora_alpha = 2 * config.r, 2 * config.lora_alpha  # the same scale
    return f"begins with rank {config.r // 2} in {len(layers)} layers, taken off by as much again"


def adapter_layers(model: torch.nn.Module) -> tuple[LoraConfig, dict[str, Any]]:
    """The adapter's settings, and by their names the layers it is in; PEFT's are not typed."""
    if not isinstance(model, PeftModel):
        raise TypeError(f"expected a model with an adapter, got {type(model).__name__}")
    config = model.peft_config[ADAPTER_NAME]
    assert isinstance(config, LoraConfig)
    return config, {n: each for n, each in model.named_modules() if isinstance(each, LoraLayer)}


def require_rank(layers: Sequence[Any], needed: int, method: str) -> None:
    """Refuse a rank for which the smallest layer has not enough directions."""
    smallest = min(min(each.get_base_layer().weight.shape) for each in layers)
    if needed > smallest:
        raise ValueError(
            f"{method} finds {smallest} directions in the smallest layer and needs {needed}: "
            "give a lower lora_rank"
        )


def take_off_start(layer: Any) -> None:  # noqa: ANN401 - PEFT's
    """Double an adapter's rank with what it begins with, negative and without a gradient."""
    down, up = layer.lora_A[ADAPTER_NAME], layer.lora_B[ADAPTER_NAME]
    rank = layer.r[ADAPTER_NAME]
    first = torch.zeros(2 * rank)
    first[:rank] = 1
    for linear, joined, mask in (
        (down, torch.cat([down.weight, down.weight]), first[:, None]),
        (up, torch.cat([up.weight, -up.weight], dim=1), first[None]),
    ):
        linear.weight = torch.nn.Parameter(joined.detach().clone().contiguous())
        # A hook, not a tensor apart: PEFT saves and loads the adapter as any other.
        parameter = linear.weight
        parameter.register_hook(lambda grad, mask=mask: grad * mask.to(grad))
    down.out_features = up.in_features = layer.r[ADAPTER_NAME] = 2 * rank
