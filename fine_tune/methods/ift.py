"""IFT: a token counts by what follows from it, and is read in part as the model would have it.

    e_i = (1 - own) E(y_i) + own E(y^_i)           y^_i the model's own first choice at i
    l_i = -log p(y_i | e_<i)
    w_i = sum_(k >= i) discount^(k - i) l_k,       scaled so that a row's w have the mean 1
    loss = mean over rows of  mean_i w_i l_i

A token is trained as hard as what follows from it goes wrong. `own: 0` and `discount: 0` is not yet
plain training: each token then counts by its own loss. For instruction data without preferences,
where the answers a model begins itself lead it astray. Not for short answers, in which nothing
follows. Costs a second forward pass, the first one with all logits: about half as much time again,
and memory for tokens times vocabulary.

Hua et al. 2024, "Intuitive Fine-Tuning", arXiv:2405.11870. As in their code the gradient flows
through w as well; `detach_weights` stops it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, Divisor, LossBatch, TrainingMethod
from storage.exports_manifest import IGNORED

if TYPE_CHECKING:
    import torch


class IFT(TrainingMethod):
    """Read some of the model's own choices, and weigh tokens by what follows."""

    changes: ClassVar[Change] = "loss"
    divides_by: ClassVar[Divisor] = "rows"

    method: Literal["ift"]
    own: float = Field(
        default=0.2, ge=0, lt=1, description="Share of the model's own choice in what it reads."
    )
    discount: float = Field(
        default=0.95, ge=0, lt=1, description="How much of a loss a token one earlier answers for."
    )
    detach_weights: bool = Field(
        default=False, description="Take the weights as constants, without a gradient."
    )

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        import torch

        ids, labels = batch.inputs["input_ids"], batch.inputs["labels"]
        with torch.no_grad():
            chosen = batch.model.whole(batch.inputs).logits[:, :-1].argmax(-1)
        own = torch.where(labels[:, 1:] != IGNORED, chosen, ids[:, 1:])
        own = torch.cat([ids[:, :1], own], dim=1)
        read = (1 - self.own) * batch.model.embed(ids) + self.own * batch.model.embed(own)
        inputs = {name: value for name, value in batch.inputs.items() if name != "input_ids"}
        losses = batch.model.forward({**inputs, "inputs_embeds": read})
        nats = -losses.log_probs.float()
        weights = self.weights(nats, batch) * losses.label_mask
        counts = batch.row_sums(losses.label_mask.float()).clamp(min=1)
        means = batch.row_sums(weights).clamp(min=1e-6) / counts
        scaled = weights / means[batch.places]
        rows: torch.Tensor = batch.row_sums(scaled * batch.weights * nats) / counts
        return rows.sum()

    def weights(self, nats: torch.Tensor, batch: LossBatch) -> torch.Tensor:
        """(rows, tokens - 1) the discounted losses from each token on, within its row."""
        import torch

        at = torch.arange(nats.shape[1], device=nats.device)
        ahead = at[None, :] - at[:, None]  # (tokens, tokens) how far k lies behind i
        factors = torch.where(ahead >= 0, self.discount ** ahead.clamp(min=0), 0.0)
        same = batch.places[:, :, None] == batch.places[:, None, :]
        given = nats.detach() if self.detach_weights else nats
        return ((factors * same) @ given[:, :, None])[:, :, 0]
