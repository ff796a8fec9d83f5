"""ASFT: an answer is made likely, and a rejected one to the same prompt unlikely, each absolutely.

    p(y) = exp( mean_t log p(y_t | x, y_<t) ),     o(y) = log p(y) - log(1 - p(y))
    loss = mean over rows of
           -log p(kept) - share [ log sigmoid(o(kept)) + log sigmoid(-o(rejected)) ]
         = mean over rows of  -(1 + share) log p(kept) - share log(1 - p(rejected))

Neither a reference model nor the difference of the two answers is in it: what is rejected is pushed
down for itself, the harder the likelier it is. A row without a rejected answer has -log p(kept).

For pools with several answers to a prompt of which some are known to be worse: wrong, or less
likely (`export: {rejected: [wrong_answer]}`). Not where what was dropped is nearly as good, for it
is unlearnt all the same, and not for answers that differ in a few tokens alone, the rest of which
is pushed both ways. Costs the tokens of both
answers: 2.5 times plain training as measured, where all rows have one.

Wang et al. 2024, "ASFT: Aligned Supervised Fine-Tuning through Absolute Likelihood",
arXiv:2409.10571, as restated in arXiv:2502.01237, where it is one of the losses compared. Another
method of the same letters, anchored SFT, is not this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, Divisor, LossBatch, TrainingMethod

if TYPE_CHECKING:
    import torch

NEAREST = -1e-6
"""Mean log-likelihood above which an answer is taken for certain: log(1 - p) has no end there."""


class ASFT(TrainingMethod):
    """Learn an answer, and unlearn a rejected one."""

    changes: ClassVar[Change] = "loss"
    divides_by: ClassVar[Divisor] = "rows"
    packs: ClassVar[bool] = False
    weighs: ClassVar[bool] = False
    pairs: ClassVar[bool] = True

    method: Literal["asft"]
    share: float = Field(
        default=0.5, gt=0, description="How much both likelihoods count beside plain training."
    )

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        kept, rejected = batch.read_both()
        weights = batch.weights * kept.label_mask
        likelihood = (kept.log_probs * weights).sum(-1) / weights.sum(-1).clamp(min=1e-6)
        loss = -likelihood.sum()
        if rejected is None or batch.rejected is None:
            return loss
        worse = rejected.log_probs.sum(-1) / rejected.label_mask.sum(-1).clamp(min=1)
        paired = likelihood[batch.rejected.rows]
        return loss - self.share * (paired + log_of_rest(worse)).sum()


def log_of_rest(log_p: torch.Tensor) -> torch.Tensor:
    """log(1 - p) of log p, exact near both ends."""
    import torch

    below = log_p.clamp(max=NEAREST)
    half = -0.6931471805599453  # log 0.5: each form keeps its digits on one side of it
    return torch.where(below > half, torch.log(-torch.expm1(below)), torch.log1p(-torch.exp(below)))
