"""Antidote: after the training, the weights are pruned that answers nobody wants make most of.

    h_ij = |w_ij| sqrt( sum over tokens of x_j^2 )        x the matrix's inputs, over harmful rows
    w_ij <- 0   of each row i for its floor(share columns) largest h_ij

Of an adapter both matrices of each layer are pruned, of all weights the matrices of attention that
make queries, keys and values. The harmful rows are an export of prompts with the answers that the
model shall not give; it reads them, and is not trained on them. The report says how many numbers
were pruned; of a matrix with fewer than 1 / share columns there are none.

For a training on rows that may hold harm which nobody found. Not where they are known to hold
none, for what is pruned is missed elsewhere too; nor as the only guard. Costs a forward pass over
`rows` rows after the training.

Huang et al. 2024, "Antidote", arXiv:2408.09600: share 0.05 to 0.1 and 2000 rows. h is Wanda's, as
there. Their code prunes block after block, each with the inputs of those pruned before; here all
inputs are those of the model before it is pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod
from fine_tune.methods.corda import read_all, unpadded
from fine_tune.mixed_export import MixedExport

if TYPE_CHECKING:
    import torch

FULL = ("q_proj", "k_proj", "v_proj")
"""Matrices that are pruned where all weights were trained, as published."""


class Antidote(TrainingMethod):
    """Prune what harmful rows make most of."""

    changes: ClassVar[Change] = "trained weights"

    method: Literal["antidote"]
    harmful: MixedExport = Field(
        description="Prompts with answers that the model shall not give, in an export of their own."
    )
    share: float = Field(default=0.1, gt=0, lt=1, description="Share of each row that is pruned.")
    rows: int = Field(default=2000, ge=1, description="Most harmful rows that are read.")

    def require_model(self, model: torch.nn.Module) -> None:
        """See TrainingMethod."""
        pruned_matrices(model)

    def finish_model(
        self,
        model: torch.nn.Module,
        start: Callable[[], torch.nn.Module],
        batches: Iterable[Mapping[str, torch.Tensor]],
    ) -> str:
        """See TrainingMethod."""
        import torch

        rows = list(islice(unpadded(batches), self.rows))
        matrices = pruned_matrices(model)
        with torch.no_grad():
            norms = input_norms(model, matrices, rows)
            counts = [0, 0]
            for name, matrix in matrices.items():
                harm = harmful_weights(matrix.weight, norms[name], self.share)
                matrix.weight[harm] = 0
                counts[0] += int(harm.sum())
                counts[1] += harm.numel()
        return (
            f"{counts[0]:,} of {counts[1]:,} numbers in {len(matrices)} matrices pruned by "
            f"{len(rows)} rows of {self.harmful.export}"
        )


def pruned_matrices(model: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    """The matrices that are pruned, by name.

    Raises:
        ValueError: if there are none, in a model whose matrices are called otherwise.
    """
    import torch

    linear = {n: each for n, each in model.named_modules() if isinstance(each, torch.nn.Linear)}
    adapter = {n: each for n, each in linear.items() if ".lora_A." in n or ".lora_B." in n}
    found = adapter or {n: each for n, each in linear.items() if n.rsplit(".", 1)[-1] in FULL}
    if not found:
        raise ValueError(f"antidote prunes {', '.join(FULL)}, and this model has none of these")
    return found


def input_norms(
    model: torch.nn.Module, matrices: Mapping[str, torch.nn.Linear], rows: Iterable[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Matrix → (columns,) the norm of each of its inputs over the tokens of rows."""
    import torch

    squares = {
        name: torch.zeros(each.in_features, device=each.weight.device)
        for name, each in matrices.items()
    }

    def adding(name: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor]], None]:
        def add(_: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
            squares[name] += given[0].float().square().sum((0, 1))

        return add

    hooks = [each.register_forward_pre_hook(adding(name)) for name, each in matrices.items()]
    model.eval()
    read_all(model, rows)
    for hook in hooks:
        hook.remove()
    return {name: each.sqrt() for name, each in squares.items()}


def harmful_weights(weights: torch.Tensor, norms: torch.Tensor, share: float) -> torch.Tensor:
    """(rows, columns) where a weight times its input's norm is among the largest of its row."""
    import torch

    count = int(Fraction(str(share)) * weights.shape[1])
    order = (weights.abs() * norms).argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(weights, dtype=torch.bool).scatter(1, order[:, :count], 1)
