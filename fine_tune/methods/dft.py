"""DFT: the loss of each token times the probability that the model gives it, as TRL ships it.

    loss = - sum_t p(token_t) log p(token_t) / T        p as a constant, without a gradient

Tokens that the model finds unlikely move it less: the gradient of plain training divides by p, and
is largest where rows are surprising, or wrong. For rows near to what the model does already. Not
for new knowledge, which is unlikely by nature. Costs nothing.

Wu et al. 2025, "On the Generalization of SFT", arXiv:2508.05629; TRL's `loss_type="dft"`. The
losses that are reported are those products, and so far below plain ones; the held-out loss is
plain.
"""

from typing import ClassVar, Literal

from fine_tune.method import Change, TrainingMethod


class DFT(TrainingMethod):
    """Weigh each token by its probability."""

    changes: ClassVar[Change] = "loss"
    loss_type: ClassVar[Literal["nll", "dft"]] = "dft"

    method: Literal["dft"]
