"""SFTMix: beside plain training, rows the model is sure of are mixed with rows it is unsure of.

    Z_n = lambda h_n(confident) + (1 - lambda) h_n(unsure),       lambda ~ Beta(spread, spread)
    mix = -mean_n [ lambda log p(y_n | Z_n) + (1 - lambda) log p(y'_n | Z_n) ]    y' of the unsure
    loss = plain + share * mean over pairs of mix

h are the last hidden states over the tokens that are trained, of both rows as far as the shorter
goes. Which row is which is read from the stored score `sftmix_class` (1 is confident), which the
export must have; rows of each pass are paired at random, and those left over are trained plainly.
The mix keeps confident rows from being learnt by heart, and carries what they teach to the others.

For instruction data of mixed difficulty. Not without the classes, and not with small passes: rows
are paired within a forward pass, and where all are of one class nothing is mixed. Costs the
trajectories once; a step needs memory for tokens times vocabulary, for logits are kept.

SFTMix, 2024, arXiv:2410.05248. There each batch holds as many rows of one class as of the other;
here it holds what comes. Plain and mixed losses are means of each forward pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, Divisor, LossBatch, TrainingMethod
from fine_tune.methods.mixup import mixed_nats
from storage.exports_manifest import IGNORED

if TYPE_CHECKING:
    import torch


class SFTMix(TrainingMethod):
    """Mix the hidden states of confident and unsure rows."""

    changes: ClassVar[Change] = "loss"
    divides_by: ClassVar[Divisor] = "batches"
    packs: ClassVar[bool] = False
    least_rows: ClassVar[int] = 2

    method: Literal["sftmix"]
    classes: str = Field(
        default="sftmix_class", description="The score that is 1 of confident rows and 0 of others."
    )
    share: float = Field(default=0.2, ge=0, description="How much the mixed loss counts.")
    spread: float = Field(
        default=0.5, gt=0, description="Both parameters of the Beta distribution of lambda."
    )

    def scores(self) -> tuple[str, ...]:
        """See TrainingMethod."""
        return (self.classes,)

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        import torch

        read = batch.model.whole(batch.inputs)
        labels = batch.inputs["labels"][:, 1:]
        trained = labels != IGNORED
        log_probs = read.logits[:, :-1].float().log_softmax(-1)
        taken = log_probs.gather(-1, labels.clamp(min=0)[:, :, None])[:, :, 0]
        weights = batch.weights * trained
        plain = -(taken * weights).sum() / weights.sum().clamp(min=1e-6)
        states = read.hidden_states[-1][:, :-1]
        mixed = [
            self.mix(
                batch,
                (states[one][trained[one]], labels[one][trained[one]]),
                (states[other][trained[other]], labels[other][trained[other]]),
            )
            for one, other in pair_classes(batch.scores[self.classes])
        ]
        return plain + self.share * torch.stack(mixed).mean() if mixed else plain

    def mix(
        self,
        batch: LossBatch,
        confident: tuple[torch.Tensor, torch.Tensor],
        unsure: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """The mixed loss of a pair; of each row the states (t, width) and labels (t,)."""
        import torch

        share = torch.distributions.Beta(self.spread, self.spread).sample()
        return mixed_nats(batch.model, confident, unsure, share).mean()


def pair_classes(classes: torch.Tensor) -> list[tuple[int, int]]:
    """Pairs of a confident row and another one, at random; each row stands in one at most."""
    import torch

    sides = [(classes == value).nonzero().flatten() for value in (1, 0)]
    drawn = [side[torch.randperm(len(side))].tolist() for side in sides]
    return list(zip(*drawn, strict=False))
