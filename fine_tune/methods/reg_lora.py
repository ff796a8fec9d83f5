"""RegLoRA: an adapter leaves alone what earlier adapters changed most.

    M    = the places of the largest |B_t A_t| of a layer, of every earlier adapter t
    loss = plain + strength * mean over layers of  mean_((i, j) in M) |(B A)_ij|

The trained model is the one with the earlier adapters merged into its weights, `adapter:DIRECTORY`
of the last of them, and the adapter is a fresh one. The penalty is taken once for each optimizer
step, however it is cut. The losses that are reported hold it.

For tasks that are learnt one after the other, without the rows of the earlier ones. Not where these
are at hand: training some of them along (`mix`) is simpler. The strength is that of the paper's
model and rank, and has to be tried. Costs the product B A of one layer after the other in every
pass, and memory for the places: 8 bytes for each, share of the model's linear weights.

Chen et al. 2025, "SEFE", arXiv:2505.02486: share 0.02, strength 2500. Its rewriting of answers into
several styles (ASD) is not here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from fine_tune.block import TrainingBlock
from fine_tune.method import Change, LossBatch, TrainingMethod, Tuned
from fine_tune.mixed_export import MixedExport
from storage.exports_manifest import IGNORED, hash_file

if TYPE_CHECKING:
    import torch

WEIGHTS = "adapter_model.safetensors"


class EarlierAdapter(TrainingBlock):
    """An adapter that is merged into the model, in one of the earlier tasks."""

    folder: str = Field(min_length=1, description="As PEFT saves it, and a training here writes.")
    sha256: str | None = Field(
        default=None, description="Of its weights; filled in when a training begins."
    )


class RegLoRA(TrainingMethod):
    """Penalize changes where earlier adapters changed most."""

    changes: ClassVar[Change] = "loss"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora",)

    method: Literal["reg_lora"]
    earlier: tuple[EarlierAdapter, ...] = Field(
        min_length=1, description="Those of the tasks before."
    )
    share: float = Field(
        default=0.02, gt=0, le=1, description="Share of each layer's changes that is kept."
    )
    strength: float = Field(default=2500.0, gt=0, description="How much the penalty counts.")

    def pinned(self, pin: Callable[[MixedExport], MixedExport]) -> Self:
        """See TrainingMethod."""
        return self.model_copy(update={"earlier": tuple(pin_adapter(e) for e in self.earlier)})

    def require_model(self, model: torch.nn.Module) -> None:
        """See TrainingMethod."""
        from fine_tune.kept_base import adapter_layers

        layers = adapter_layers(model)[1]
        for name, places in marked_places(self.earlier, self.share).items():
            size = layers[name].get_base_layer().weight.numel() if name in layers else 0
            if int(places.max()) >= size:
                raise ValueError(
                    f"reg_lora: an earlier adapter changes {name}, which is not of this model: "
                    "give adapters of the model that is trained"
                )

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        import torch
        from torch.utils.checkpoint import checkpoint

        from fine_tune.wrapped_model import weighted_nats

        nats = weighted_nats(batch, by_probability=False)
        adapter = batch.model.adapter()
        # Made again for the gradient: the products of all layers together are the model's size.
        penalties = [
            checkpoint(mean_change, *adapter[name], places.to(nats.device), use_reentrant=False)
            for name, places in marked_places(self.earlier, self.share).items()
        ]
        # A step divides by its tokens: each pass holds its part of one penalty.
        tokens = (batch.inputs["labels"][:, 1:] != IGNORED).sum()
        total: torch.Tensor = nats + self.strength * torch.stack(penalties).mean() * tokens
        return total


def mean_change(up: torch.Tensor, down: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The mean size of the changes (up @ down) at some places of the flattened matrix."""
    return (up @ down).flatten()[places].abs().mean()


def pin_adapter(earlier: EarlierAdapter) -> EarlierAdapter:
    """An earlier adapter with the hash of its weights.

    Raises:
        ValueError: if there is none in its folder, or another than was meant.
    """
    file = Path(earlier.folder) / WEIGHTS
    if not file.is_file():
        raise ValueError(f"reg_lora: {earlier.folder} holds no adapter: there is no {WEIGHTS}")
    found = hash_file(file)
    if earlier.sha256 not in (None, found):
        raise ValueError(f"reg_lora: {file} is no longer the adapter that is asked for")
    return earlier.model_copy(update={"sha256": found})


@lru_cache(maxsize=1)
def marked_places(adapters: tuple[EarlierAdapter, ...], share: float) -> dict[str, torch.Tensor]:
    """Layer → the places, in its flattened weights, that adapters changed most; each once.

    Raises:
        ValueError: if a folder holds no adapter, or one that is no LoRA adapter.
    """
    import torch
    from safetensors.torch import load_file

    found: dict[str, list[torch.Tensor]] = {}
    for earlier in adapters:
        weights = load_file(Path(earlier.folder) / WEIGHTS)
        layers = [n.removesuffix(".lora_A.weight") for n in weights if n.endswith(".lora_A.weight")]
        if not layers:
            raise ValueError(f"reg_lora: {earlier.folder} holds no LoRA adapter")
        for name in layers:
            change = weights[f"{name}.lora_B.weight"] @ weights[f"{name}.lora_A.weight"]
            count = max(1, round(share * change.numel()))
            order = change.flatten().abs().float().argsort(descending=True, stable=True)
            found.setdefault(name, []).append(order[:count])
    return {name: torch.unique(torch.cat(each)) for name, each in found.items()}
