"""LoRA experts behind a router, in PEFT's own layers; see methods/loramoe.py.

    W x + s sum_i w_i B_i A_i x  =  W x + s B (w (*) A x),        w = softmax(R x)

A layer of PEFT's holds A and B of all experts, one below the other; R stands beside them, and what
A gives is multiplied in between. PEFT reads and writes all of it, but knows no such layer: for a
kind of its own it asks for a member of its enum, and custom layers it does not write down. Read as
plain LoRA the experts would answer without their router, so the files have names of their own, and
`load_experts` reads them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PreTrainedModel

from fine_tune.kept_base import ADAPTER_NAME, adapter_layers
from scorers.measures.models.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    EXPERTS_CONFIG,
    EXPERTS_WEIGHTS,
)

FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
ROUTER = "lora_router"
"""PEFT writes what begins with lora_."""


class Router(torch.nn.Linear):
    """Says of each token how much each expert counts."""

    gates: torch.Tensor | None = None
    """(rows, tokens, experts) of the last forward pass, float32; of a row and token together 1."""

    def look(self, layer: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        """Called with what the layer reads."""
        self.gates = self(given[0].to(self.weight.dtype)).softmax(-1, dtype=torch.float32)

    def route(
        self, down: torch.nn.Module, given: tuple[torch.Tensor, ...], found: torch.Tensor
    ) -> torch.Tensor:
        """Called with what the experts' A give, (rows, tokens, experts times rank)."""
        assert self.gates is not None
        rank = found.shape[-1] // self.out_features
        return found * self.gates.repeat_interleave(rank, -1).to(found.dtype)


def fresh_experts(model: PreTrainedModel, experts: int, one: LoraConfig) -> PeftModel:
    """A model with experts in its feed-forward layers; they begin with no effect.

    Args:
        model: a causal language model.
        experts: in each layer.
        one: rank, scale and dropout of each; routers read what is dropped too.

    Raises:
        ValueError: if its feed-forward layers are called otherwise.
    """
    found = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    if missing := sorted(set(FEED_FORWARD) - found):
        raise ValueError(
            f"loramoe finds no {' or '.join(missing)} in the model: it knows Llama-like ones alone"
        )
    config = LoraConfig(
        r=experts * one.r,
        lora_alpha=experts * one.lora_alpha,  # the scale is that of one
        lora_dropout=one.lora_dropout,
        target_modules=list(FEED_FORWARD),
        task_type="CAUSAL_LM",
    )
    return with_routers(model, config, experts)


def with_routers(model: PreTrainedModel, config: LoraConfig, experts: int) -> PeftModel:
    """A model with an adapter of these settings, and a router in each of its layers."""
    routed: Any = get_peft_model(model, config)
    for layer in adapter_layers(routed)[1].values():
        down = layer.lora_A[ADAPTER_NAME]
        router = Router(layer.in_features, experts, bias=False)
        router.to(down.weight.device, down.weight.dtype)
        setattr(layer, ROUTER, torch.nn.ModuleDict({ADAPTER_NAME: router}))
        layer.register_forward_pre_hook(router.look)
        down.register_forward_hook(router.route)
    assert isinstance(routed, PeftModel)
    return routed


def routers(model: torch.nn.Module) -> dict[str, Router]:
    """Name → router; none in a model without experts."""
    return {name: each for name, each in model.named_modules() if isinstance(each, Router)}


def name_as_experts(folder: Path) -> None:
    """Give what PEFT wrote of a model with experts the names that no plain adapter has."""
    (folder / ADAPTER_CONFIG).rename(folder / EXPERTS_CONFIG)
    (folder / ADAPTER_WEIGHTS).rename(folder / EXPERTS_WEIGHTS)


def load_experts(model: PreTrainedModel, folder: Path) -> PeftModel:
    """A model with the experts and routers of a folder, to be asked or trained on.

    Args:
        model: that they were trained beside.
        folder: as a training with loramoe writes it.

    Raises:
        FileNotFoundError: if there are none in the folder.
        ValueError: if they are of another model.
    """
    said: Mapping[str, Any] = json.loads((folder / EXPERTS_CONFIG).read_bytes())
    weights = load_file(folder / EXPERTS_WEIGHTS)
    config = LoraConfig(**{**said, "inference_mode": False})
    experts = next(each.shape[0] for name, each in weights.items() if ROUTER in name)
    routed = with_routers(model, config, experts)
    found: Any = set_peft_model_state_dict(routed, weights)
    missing = [name for name in found.missing_keys if "lora_" in name]
    if missing or found.unexpected_keys:
        raise ValueError(f"the experts in {folder} are of another model")
    return routed
