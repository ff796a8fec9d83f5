"""Q-Tuning: of each batch some rows are trained, and of the wrong ones some tokens.

    row:    a corner of the plane of perplexity and entropy, as `select.steps` has it (q_tuning)
    token:  s_i = (1 - neighbours) PPL_i + neighbours (PPL_(i-1) + PPL_(i+1)),   the lowest are kept
    loss = mean over the tokens that are kept of -log p(token)

Rows that the model gets wrong and is sure of (misconceptions) lose the tokens of the highest s, for
a token that is surprising among surprising ones is likelier noise than knowledge; rows that it gets
right and is unsure of (calibration) keep all; of the others only the share that is missing is
trained, those that lean furthest to either side. A row keeps its text: what is pruned has no loss.

For fewer rows and tokens with the same result, where batches are large. Not with fewer than eight
rows in a forward pass, of which no quantile says anything; and not beside the selection step of the
same name, which has chosen by the same rule already. Costs nothing: the rows are judged by the very
pass that is trained, or by stored scores.

Q-Tuning, 2025, arXiv:2509.23873. Its text and its equation 6 disagree on which tokens go: here the
text is followed. A neighbour that is not trained counts as the token itself. The mean is over the
tokens kept in each forward pass, so that gradient accumulation weighs passes alike.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, Divisor, LossBatch, TrainingMethod

if TYPE_CHECKING:
    import torch

WIDEST = 0.49
HALVINGS = 10


class PrunedBatches(TrainingMethod):
    """Train a share of the rows of each batch, and of the tokens of some."""

    changes: ClassVar[Change] = "loss"
    divides_by: ClassVar[Divisor] = "batches"
    least_rows: ClassVar[int] = 8

    method: Literal["q_tuning"]
    rows: float = Field(default=0.5, gt=0, le=1, description="Share of the rows that are trained.")
    tokens: float = Field(
        default=0.5, gt=0, le=1, description="Share of the tokens of misconceptions that are kept."
    )
    neighbours: float = Field(
        default=0.5, ge=0, le=1, description="How much the neighbours of a token count."
    )
    perplexity: str | None = Field(
        default=None, description="A score to judge rows by in place of the model as it is."
    )
    entropy: str | None = Field(default=None, description="The same; both are given, or none.")

    def scores(self) -> tuple[str, ...]:
        """See TrainingMethod."""
        return tuple(name for name in (self.perplexity, self.entropy) if name)

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        read = batch.read()
        nats = -read.log_probs.float()
        counts = batch.row_sums(read.label_mask.float()).clamp(min=1)
        perplexity = (batch.row_sums(nats.detach()) / counts).clamp(max=20).exp()
        entropy = batch.row_sums(read.entropy.detach().float()) / counts
        if self.perplexity and self.entropy:
            perplexity, entropy = batch.scores[self.perplexity], batch.scores[self.entropy]
        trained, wrong = choose_of_batch(perplexity, entropy, self.rows)
        kept = read.label_mask & trained[batch.places]
        pruned = kept & wrong[batch.places]
        for row in pruned.any(-1).nonzero().flatten().tolist():
            for place in sorted(set(batch.places[row][pruned[row]].tolist())):
                at = ((batch.places[row] == place) & pruned[row]).nonzero().flatten()
                kept[row, at] = keep_calm(nats[row, at].detach(), self.tokens, self.neighbours)
        weights = batch.weights * kept
        return (nats * weights).sum() / weights.sum().clamp(min=1e-6)


def choose_of_batch(
    perplexity: torch.Tensor, entropy: torch.Tensor, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Say which rows (n,) of a batch are trained, and which of them are misconceptions."""
    import torch

    budget = max(1, int(Fraction(str(share)) * len(perplexity)))
    narrow, wide = 0.0, WIDEST
    for _ in range(HALVINGS):
        cut = (narrow + wide) / 2
        if torch.stack(corners_of(perplexity, entropy, cut)).any(0).sum() <= budget:
            narrow = cut
        else:
            wide = cut
    wrong, unsure = corners_of(perplexity, entropy, narrow)
    lean = (scaled_to_one(perplexity) - scaled_to_one(entropy)).abs()
    lean[wrong | unsure] = 2.0  # before all others, which reach 1
    trained = torch.zeros_like(wrong)
    trained[lean.argsort(descending=True, stable=True)[:budget]] = True
    return trained, wrong & trained


def corners_of(
    perplexity: torch.Tensor, entropy: torch.Tensor, cut: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (n,) that are wrong and sure, and those that are right and unsure."""
    low, high = perplexity.quantile(cut), perplexity.quantile(1 - cut)
    sure, unsure = entropy.quantile(cut), entropy.quantile(1 - cut)
    return (perplexity > high) & (entropy < sure), (perplexity < low) & (entropy > unsure)


def scaled_to_one(values: torch.Tensor) -> torch.Tensor:
    """Values brought to 0 … 1; all 0 where they are all the same."""
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else values * 0


def keep_calm(nats: torch.Tensor, share: float, neighbours: float) -> torch.Tensor:
    """Say which tokens (t,) of a row stay: those that do not stand among surprising ones."""
    import torch

    perplexity = nats.clamp(max=20).exp()
    before = torch.cat([perplexity[:1], perplexity[:-1]])
    behind = torch.cat([perplexity[1:], perplexity[-1:]])
    surprise = (1 - neighbours) * perplexity + neighbours * (before + behind)
    kept = torch.zeros_like(nats, dtype=torch.bool)
    count = max(1, round(share * len(nats)))
    kept[surprise.argsort(stable=True)[:count]] = True
    return kept
