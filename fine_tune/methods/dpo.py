"""DPO: a chosen answer gains on a rejected one, as far as both were likely before the training.

    r(y) = beta [ log p(y | x) - log p_0(y | x) ],     log p summed over the answer's tokens
    loss = mean over pairs of  -log sigmoid( r(kept) - r(rejected) )

p_0 is the model without its adapter, so the loss of the first step is log 2. Rows without a
rejected answer are read and count nothing. The loss and its gradient are those of TRL's DPOTrainer
with its defaults; here it runs on the rows that an export promises, beside the other methods.

For pairs of which somebody said which is better, and for a model's own answers against given ones
(SPIN). Not on a model that has not learnt the form of the answers: train plainly first, and name
`adapter:DIRECTORY` of that as the model, for what is no adapter is the reference. Both answers may
grow less likely while one gains on the other, and where the chosen ones are longer it may be length
that is learnt. The learning rate is a tenth of plain training's and less. Costs the tokens of both
answers, and a forward pass over them without a gradient: 2.8 times plain training as measured.

Rafailov et al. 2023, "Direct Preference Optimization", arXiv:2305.18290; with answers of the model
itself Chen et al. 2024, "Self-Play Fine-Tuning" (SPIN), arXiv:2401.01335.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, Divisor, LossBatch, TrainingMethod, Tuned

if TYPE_CHECKING:
    import torch


class DPO(TrainingMethod):
    """Prefer an answer to a rejected one."""

    changes: ClassVar[Change] = "loss"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora", "qlora")
    divides_by: ClassVar[Divisor] = "pairs"
    packs: ClassVar[bool] = False
    weighs: ClassVar[bool] = False
    pairs: ClassVar[bool] = True
    compares_with_base: ClassVar[bool] = True

    method: Literal["dpo"]
    beta: float = Field(
        default=0.1, gt=0, description="How dearly it is to be paid for leaving the model before."
    )

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        from torch.nn.functional import softplus

        lost: torch.Tensor = softplus(-self.beta * preference_margins(batch)).sum()
        return lost


def preference_margins(batch: LossBatch) -> torch.Tensor:
    """(pairs,) how much more the kept answer gained than the rejected one, in nats.

    A batch without pairs is read as often as any: see LossBatch.read_both.
    """
    (was, was_worse), (now, now_worse) = batch.read_both(reference=True), batch.read_both()
    gained = now.log_probs.sum(-1) - was.log_probs.sum(-1)
    if batch.rejected is None or now_worse is None or was_worse is None:
        return gained[:0]
    lost = now_worse.log_probs.sum(-1) - was_worse.log_probs.sum(-1)
    margins: torch.Tensor = gained[batch.rejected.rows] - lost
    return margins
