"""CorDA: an adapter begins with the directions of the weights that the rows make most of.

    B0 A0 = the first lora_rank parts of  svd(W C) C^-1        C = X^T X, the layer's inputs

The model begins as it was, for what the adapter begins with is taken off again; gradients reach
those directions first. For LoRA on a task whose rows are like each other. Not with few tokens: C is
then known in few directions. Costs a forward pass over `rows` rows, an svd of each layer and twice
the adapter.

Yang et al. 2024, "CorDA", arXiv:2406.05223; PEFT's `preprocess_corda`, in its instruction-previewed
mode. The other, which keeps knowledge, begins by rows of that knowledge and not by those that are
trained; it is not here. What is taken off is in the adapter, not in the model's weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod, Tuned

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig


class CorDA(TrainingMethod):
    """Begin the adapter by weights and the inputs of their layers."""

    changes: ClassVar[Change] = "adapter"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora",)
    packs: ClassVar[bool] = False

    method: Literal["corda"]
    rows: int = Field(default=256, ge=1, description="Most rows whose inputs are looked at.")

    def init_adapter(
        self, model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]]
    ) -> str:
        """See TrainingMethod."""
        from peft.tuners.lora.config import CordaConfig
        from peft.tuners.lora.corda import preprocess_corda

        from fine_tune.kept_base import begin_beside_base

        def prepare(base: torch.nn.Module, config: LoraConfig) -> None:
            config.corda_config = CordaConfig(corda_method="ipm")
            preprocess_corda(base, config, lambda: read_unpadded(base, batches, self.rows))

        return begin_beside_base(model, prepare, "corda")


def read_unpadded(
    model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]], most: int
) -> None:
    """Let a model read rows one by one, without padding, which would count as input."""
    read = 0
    for batch in batches:
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            if read == most:
                return
            model(input_ids=ids[mask.bool()][None])
            read += 1
