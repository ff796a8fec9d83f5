"""PoFT: rows that trusted models find unlikely move the trained model less.

    r = mean_t log p(token_t)                 of the model that is trained, over a row's tokens
    r' = mean of the same over trusted models
    loss = - mean_rows log sigmoid( r - r' + margin )

The gradient is that of the mean loss of each row, times sigmoid(r' - r - margin): near 1 while the
model finds the row less likely than the trusted ones do, and falling once it has caught up; a row
that the trusted models doubt is soon let go. r' is taken from stored scores that are
log-likelihoods or their negative: `perplexity` of losses by an aligned model, and the export must
have it (`export: {scores: [...]}`).

For rows of mixed quality where a good aligned model of any vocabulary is at hand. Not where the
rows teach what trusted models do not know: those are the rows it lets go. Costs one measuring of
the rows by each trusted model; a step costs what plain training does.

Fan et al. 2024, "Preference-Oriented Supervised Fine-Tuning", arXiv:2412.12865; the margin is 0
there. Their trainer takes r over prompt and headers too and r' over the answer; here both are over
the tokens that are trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, Divisor, LossBatch, TrainingMethod

if TYPE_CHECKING:
    import torch


class PoFT(TrainingMethod):
    """Prefer each row to what trusted models think of it."""

    changes: ClassVar[Change] = "loss"
    divides_by: ClassVar[Divisor] = "rows"
    weighs: ClassVar[bool] = False

    method: Literal["poft"]
    perplexities: tuple[str, ...] = Field(
        min_length=1,
        description="Scores that are perplexities of the rows by trusted models, as the scorer "
        "`perplexity` gives them; the mean of their log-likelihoods counts.",
    )
    margin: float = Field(default=0.0, description="Added to the difference, in nats per token.")

    def scores(self) -> tuple[str, ...]:
        """See TrainingMethod."""
        return self.perplexities

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        import torch
        from torch.nn.functional import logsigmoid

        read = batch.read()
        counted = batch.row_sums(batch.weights * read.label_mask)
        likelihood = batch.row_sums(read.log_probs.float() * batch.weights) / counted.clamp(
            min=1e-6
        )
        trusted = torch.stack([-batch.scores[name].log() for name in self.perplexities]).mean(0)
        return -logsigmoid(likelihood - trusted + self.margin).sum()
