"""EVA: an adapter begins where the inputs of its layers vary most, and layers share its rank.

    A = the first right-singular vectors of a layer's inputs X,  X = U S V^T  over the rows trained
    B = 0,   rank of a layer by the variance its directions explain; the sum of all ranks stays

The model begins as it was, for B is 0; gradients then reach A's directions at once. For LoRA of
small rank on rows that differ from what the model was trained on. Not with ranks so high that every
direction is there anyway. Costs forward passes over some of the rows before the training, until the
directions stand still, with a decomposition for each layer and pass: without a GPU that was not
over in 12 minutes, for 8 rows and ten blocks of a model of 135M.

Paischer et al. 2024, "One Initialization to Rule them All", arXiv:2410.07170; PEFT's
`initialize_lora_eva_weights`. The passes are made with rows in their order; tokens without a loss
are left out, as published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod, Tuned

if TYPE_CHECKING:
    import torch


class EVA(TrainingMethod):
    """Begin the adapter by the inputs of its layers."""

    changes: ClassVar[Change] = "adapter"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora",)
    packs: ClassVar[bool] = False
    no_mean: ClassVar[str] = "gives layers ranks of their own, which have no mean"
    adapter_init: ClassVar[Literal["eva"] | None] = "eva"

    method: Literal["eva"]
    most_rank: float = Field(
        default=2.0, ge=1, description="Most that a layer gets, in times lora_rank; 1: all alike."
    )
    still: float = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="Cosine of a direction to what it was a batch before, from which on it stands.",
    )

    def init_adapter(
        self, model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]]
    ) -> str:
        """See TrainingMethod."""
        from peft import EvaConfig, LoraConfig, PeftModel, initialize_lora_eva_weights

        if not isinstance(model, PeftModel):
            raise TypeError(f"expected a model with an adapter, got {type(model).__name__}")
        config = model.peft_config["default"]
        assert isinstance(config, LoraConfig)
        config.eva_config = EvaConfig(rho=self.most_rank, tau=self.still)
        training = model.training
        initialize_lora_eva_weights(model, list(batches), show_progress_bar=False)
        model.train(training)
        ranks = [len(weights) for name, weights in model.named_parameters() if "lora_A" in name]
        return f"ranks from {min(ranks)} to {max(ranks)} over {len(ranks)} layers"
