"""LoRA-SB: the first step of full training, and then only what can be done inside of it.

    D = -first_step sign( sum of dL/dW over `rows` rows ),        U S V^T = D, cut at lora_rank
    W + B R A        B = U, A = V^T fixed;   R = S at first, the lora_rank^2 numbers trained

The step is the one that AdamW would take first with all weights: the model begins with one step of
training behind it, and goes on in the directions that this step has. The held-out loss before is
that of the model without it. What is written is an ordinary LoRA adapter, B R and A, with a scale
of 1 whatever lora_alpha says; stages that follow train it as one.

For LoRA with a fraction of the trained numbers (a 27th to a 90th in the paper), at a rank higher
than LoRA's. Not where what is to be learnt goes in other directions than the first rows do. Costs
forward and backward passes over `rows` rows with gradients of all linear weights, and an svd of
each layer; saves gradients and optimizer states of the adapter.

Ponkshe et al. 2024, "LoRA-SB", arXiv:2411.19557: 50 rows, and as first_step the rate of the first
step, learning_rate / (warmup_fraction times the steps). Their gradients are summed row by row, here
pass by pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod, Tuned

if TYPE_CHECKING:
    import torch

ROUNDS = 10
"""Of the power iteration that finds the first parts of a step, as published."""


class LoRASB(TrainingMethod):
    """Train a small matrix between two that a first step of all weights gives."""

    changes: ClassVar[Change] = "adapter"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora",)
    packs: ClassVar[bool] = False

    method: Literal["lora_sb"]
    rows: int = Field(default=50, ge=1, description="Fewest rows whose gradient is looked at.")
    first_step: float = Field(
        default=3e-6, gt=0, description="How far the first step moves each weight."
    )

    def init_adapter(
        self, model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]]
    ) -> str:
        """See TrainingMethod."""
        import torch

        from fine_tune.kept_base import ADAPTER_NAME, adapter_layers, require_rank
        from fine_tune.spanned import train_within

        config, found = adapter_layers(model)
        layers = list(found.values())
        rank = config.r
        require_rank(layers, rank, self.method)
        gradients = first_gradients(model, layers, batches, self.rows)
        for layer, gradient in zip(layers, gradients, strict=True):
            step = -self.first_step * gradient.float().sign()
            up, sizes, down = torch.svd_lowrank(step, q=rank, niter=ROUNDS)
            first, second = layer.lora_A[ADAPTER_NAME], layer.lora_B[ADAPTER_NAME]
            first.weight = torch.nn.Parameter(down.T.contiguous(), requires_grad=False)
            train_within(second, up, sizes.diag())
            layer.scaling[ADAPTER_NAME] = 1.0
        config.lora_alpha = rank
        return (
            f"begins with a step of {self.first_step:g} by at least {self.rows} rows; "
            f"{rank**2:,} numbers trained in each of {len(layers)} layers"
        )


def first_gradients(
    model: torch.nn.Module,
    layers: Sequence[Any],
    batches: Iterable[Mapping[str, torch.Tensor]],
    rows: int,
) -> list[torch.Tensor]:
    """The gradients of the layers' own weights over the first rows; nothing is left of them."""
    from fine_tune.methods.lora_ga import add_gradients

    weights = [layer.get_base_layer().weight for layer in layers]
    training = model.training
    model.eval()
    for weight in weights:
        weight.requires_grad_(requires_grad=True)
    add_gradients(model, batches, rows)
    gradients = [weight.grad for weight in weights]
    for weight in weights:
        weight.requires_grad_(requires_grad=False)
    model.zero_grad(set_to_none=True)
    model.train(training)
    return gradients
