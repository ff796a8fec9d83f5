"""Read how much attention tokens pay to others in one layer of a model, and in no other.

The fused kernels that models attend with tell no weights. So one layer's attention is computed in
the plain way, by the model's own code (caps, sinks and shared heads are its business), over one
text of its true length; its weights are added up on the spot, and the layers behind it are not run.
Memory is heads x length^2 numbers for a moment, instead of that for each layer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from scorers.arrays import Floats, Ints

ATTENTION_NAMES = ("self_attn", "self_attention", "attention", "attn")
"""What the attention of a decoder layer is called."""


class _LayerReadError(Exception):
    """The layer has been read: the rest of the pass is not needed. Never leaves this module."""


@torch.inference_mode()
def read_attention(
    model: PreTrainedModel, ids: Sequence[int], queries: Ints, keys: Sequence[Ints], layer: int
) -> Floats:
    """AttentionModel.attention_shares of a model in evaluation mode, which is left as it was."""
    attention = find_attention(model, layer)
    # (t, g) with a 1 where a token is in a group: a product with it adds up each group's weights.
    groups = torch.zeros(len(ids), len(keys), device=model.device)
    for number, indices in enumerate(keys):
        groups[torch.from_numpy(indices).to(model.device), number] = 1.0
    rows = torch.from_numpy(queries).to(model.device)
    taken: list[Tensor] = []

    def take(module: torch.nn.Module, given: object, output: object) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if weights is None:
            raise ValueError(f"layer {layer} does not tell its attention: name another layer")
        taken.append(weights[0].index_select(1, rows).float() @ groups)  # (heads, q, g)
        raise _LayerReadError

    text = torch.tensor([ids], device=model.device)
    with (
        _plain_attention(attention, len(ids)),
        attention.register_forward_hook(take),
        suppress(_LayerReadError),
    ):
        cast(Any, model)(input_ids=text, use_cache=False)
    shares: Floats = taken[0].cpu().double().numpy()
    return np.clip(shares, 0.0, 1.0)  # weights are rounded, and so is their sum


def find_attention(model: PreTrainedModel, layer: int) -> torch.nn.Module:
    """The attention of one decoder layer.

    Raises:
        ValueError: if there is no such layer, or it has no attention.
    """
    decoder: Any = model.get_decoder()  # type: ignore[no-untyped-call]
    layers = decoder.layers
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer {layer} is not there: the model has layers 0 to {len(layers) - 1}")
    for name in ATTENTION_NAMES:
        found = getattr(layers[layer], name, None)
        if isinstance(found, torch.nn.Module):
            return found
    raise ValueError(f"layer {layer} of this model has no attention: name another layer")


@contextmanager
def _plain_attention(attention: torch.nn.Module, length: int) -> Iterator[None]:
    """Have one layer attend in the plain way, with a mask that says so."""
    module = cast(Any, attention)
    usual = module.config
    module.config = copy(usual)  # the other layers go on with their own
    module.config._attn_implementation = "eager"

    def mask(
        _: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        # Fused kernels are handed no mask for a lone text, and the plain way would see ahead.
        hidden = named["hidden_states"] if "hidden_states" in named else given[0]
        window = getattr(module, "sliding_window", None)
        named["attention_mask"] = _causal(length, window, hidden)
        return given, named

    try:
        with attention.register_forward_pre_hook(mask, with_kwargs=True):
            yield
    finally:
        module.config = usual


def _causal(length: int, window: int | None, like: Tensor) -> Tensor:
    """(1, 1, t, t) numbers to add: nothing behind a token is seen, nor before its window."""
    at = torch.arange(length, device=like.device)
    unseen = at[None, :] > at[:, None]
    if window is not None:
        unseen |= at[None, :] <= at[:, None] - window  # w tokens are seen, the query among them
    mask = torch.zeros(length, length, dtype=like.dtype, device=like.device)
    return mask.masked_fill_(unseen, float("-inf"))[None, None]
