"""mixup: each row of a pass is mixed with another one, states and labels by the same draw.

    Z_n = lambda h_n + (1 - lambda) h'_n,                         lambda ~ Beta(spread, spread)
    loss_n = -lambda log p(y_n | Z_n) - (1 - lambda) log p(y'_n | Z_n)

h are the last hidden states over the tokens that are trained, y their labels, and h', y' those of
another row of the same forward pass, token by token as far as the shorter goes; what a row has
beyond that is trained plainly. One lambda is drawn for each pass, the rows are paired at random. A
token counts as much as it does without; with lambda = 1 the loss is that of plain training.

mixup: Zhang et al. 2018, arXiv:1710.09412, on what a model reads; in hidden states, Verma et al.
2019, arXiv:1806.05236; of the states before the softmax, for texts, Guo et al. 2019,
arXiv:1905.08941. There a text has one label; here an answer has one for each of its tokens.

For classified texts of which there are few. Not for answers that are texts, whose n-th tokens have
nothing to do with each other; where rows are of mixed difficulty, sftmix pairs them by that. It may
as well do harm: train without it too. Costs the head twice; a step needs memory for tokens times
vocabulary, for logits are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from fine_tune.method import Change, LossBatch, TrainedModel, TrainingMethod
from storage.exports_manifest import IGNORED

if TYPE_CHECKING:
    import torch

    TrainedTokens: TypeAlias = tuple[torch.Tensor, torch.Tensor]
    """Of a row: the states (t, width) that its trained tokens are told from, and their ids (t,)."""


class Mixup(TrainingMethod):
    """Mix the hidden states and labels of rows (arXiv:1710.09412)."""

    changes: ClassVar[Change] = "loss"
    packs: ClassVar[bool] = False
    least_rows: ClassVar[int] = 2

    method: Literal["mixup"]
    spread: float = Field(
        default=0.2, gt=0, description="Both parameters of the Beta distribution of lambda."
    )

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        import torch
        from torch.nn.functional import cross_entropy

        labels = batch.inputs["labels"][:, 1:]
        trained = labels != IGNORED
        read = batch.model.whole(batch.inputs)
        by_class = read.logits[:, :-1].float().transpose(1, 2)  # as cross_entropy wants them
        plain = cross_entropy(by_class, labels, ignore_index=IGNORED, reduction="none")
        states = read.hidden_states[-1][:, :-1]
        rows = [(states[at][trained[at]], labels[at][trained[at]]) for at in range(len(labels))]
        share = torch.distributions.Beta(self.spread, self.spread).sample()
        order = torch.randperm(len(rows)).tolist()
        partner = dict(zip(order, [*order[1:], *order[:1]], strict=True))  # another, if there is
        losses = plain.new_zeros(())
        for at, one in enumerate(rows):
            mixed = mixed_nats(batch.model, one, rows[partner[at]], share)
            nats = torch.cat([mixed, plain[at][trained[at]][len(mixed) :]])
            losses = losses + (nats * batch.weights[at][trained[at]]).sum()
        return losses


def mixed_nats(
    model: TrainedModel, one: TrainedTokens, other: TrainedTokens, share: torch.Tensor
) -> torch.Tensor:
    """(tokens of the shorter,) the mixed loss of two rows; `share` is that of the first."""
    tokens = min(len(one[1]), len(other[1]))
    states = share * one[0][:tokens] + (1 - share) * other[0][:tokens]
    log_probs = model.head(states).float().log_softmax(-1)
    own, others = (log_probs.gather(-1, labels[:tokens, None])[:, 0] for _, labels in (one, other))
    return -(share * own + (1 - share) * others)
