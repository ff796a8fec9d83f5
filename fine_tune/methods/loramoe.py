"""LoRAMoE: experts in the feed-forward layers, and a router that is kept from choosing a few.

    W x + (alpha / rank) sum_i w_i B_i A_i x,     w = softmax(R x)         of `experts` experts
    Q_im = sum of w_i over the tokens of row m,   Z_im = Q_im (1 + apart) where row m and expert i
           are of one kind, else Q_im (1 - apart)
    loss = plain + strength * sum over layers of  Var_i(Z_im) / Mean_i(Z_im)^2,  the mean over rows

The rows are of two kinds, the two tasks that `balance` names, and the experts of two halves: where
`apart` is above 0, the loss is least when rows of one kind go more to one half, and those of the
other to the other. With 0 all experts are to be used alike. Weights stay as they are, and so what
the model knows of itself; a row's mean counts as its trained tokens do.

For very much data of another kind than what the model shall keep knowing. Not for the few thousand
rows of most selections, where plain LoRA has nothing to forget; not where the adapter is to be
merged, served, or made a soup of: what is routed cannot be, and every token costs the experts'
products once more. What is written are `experts.safetensors` and `experts_config.json`, read by
`load_experts` of fine_tune/experts.py alone. Costs an adapter of `experts` times lora_rank, the
routers, and the means.

Dou et al. 2023, "LoRAMoE", arXiv:2312.09979; the loss as in its code, where it is taken over the
rows of a forward pass together, and padding counts. Here each row is taken by itself, so that a
step is the same however it is cut. Published with 8 experts of rank 4; the script has both numbers
of the loss at 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, LossBatch, TrainingMethod, Tuned

if TYPE_CHECKING:
    import torch


class LoRAMoE(TrainingMethod):
    """Train experts and their router, whose use is balanced."""

    changes: ClassVar[Change] = "loss"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora",)
    no_mean: ClassVar[str] = "routes between experts, and what is routed has no mean"

    method: Literal["loramoe"]
    experts: int = Field(default=8, ge=2, description="In each layer, of lora_rank each.")
    strength: float = Field(default=0.1, ge=0, description="How much the balance counts.")
    apart: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="How far apart the experts of two kinds of rows are kept; above 0, `balance` "
        "names the two.",
    )

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        from fine_tune.collate import token_rows
        from fine_tune.wrapped_model import weighted_nats

        nats = weighted_nats(batch, by_probability=False)
        labels = batch.inputs["labels"]
        read, rows = token_rows(batch.inputs)
        tokens = batch.row_sums((labels[:, 1:] >= 0).float())  # trained, of each row
        total = nats
        for gates in batch.model.gates():
            used = gates.new_zeros(len(tokens), self.experts)
            used = used.index_add(0, rows.flatten(), (gates * read[..., None]).flatten(0, 1))
            spread = uneven(used * self.factors(batch.tasks, used))
            total = total + self.strength * (spread * tokens).sum()
        return total

    def factors(self, tasks: torch.Tensor | None, used: torch.Tensor) -> torch.Tensor:
        """(rows, experts) what the use of each counts: more where row and expert are of a kind."""
        import torch

        if tasks is None or not self.apart:
            return torch.ones_like(used)
        second = torch.arange(self.experts, device=used.device) >= self.experts // 2
        alike = tasks[:, None].bool() == second
        return torch.where(alike, 1 + self.apart, 1 - self.apart)


def uneven(used: torch.Tensor) -> torch.Tensor:
    """(rows,) variance over the experts as a share of the square of their mean."""
    found: torch.Tensor = used.var(-1) / used.mean(-1).square()
    return found


def expert_method(methods: Iterable[TrainingMethod]) -> LoRAMoE | None:
    """The one among some methods that routes between experts, if there is one."""
    return next((each for each in methods if isinstance(each, LoRAMoE)), None)
