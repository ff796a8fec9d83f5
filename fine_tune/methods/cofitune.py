"""CoFiTune, its coarse half: only the feed-forward matrices of some middle blocks are trained.

    trained = { up_proj, down_proj of block l :  first L <= l < last L }          of L blocks

Everything else is frozen. The published search found the second quarter of the blocks to be where a
speciality can be learnt with the least loss of everything else. For a narrow speciality on a model
that shall stay versatile. Not for much new knowledge, which a tenth of the weights does not hold,
and not with LoRA, which leaves all weights as they are. Saves the gradients and optimizer states of
what is frozen, most of both.

Zhang et al. 2024, "Balancing Speciality and Versatility", arXiv:2404.10306. Its fine half, a soft
mask on the gradients by the importance of units, is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fine_tune.method import Change, TrainingMethod, Tuned
from fine_tune.methods.hft import BLOCK

if TYPE_CHECKING:
    import torch

MATRICES = ("up_proj", "down_proj")


class CoFiTune(TrainingMethod):
    """Train the feed-forward matrices of a range of blocks."""

    changes: ClassVar[Change] = "parameters"
    tunes: ClassVar[tuple[Tuned, ...]] = ("full",)

    method: Literal["cofitune"]
    first: float = Field(
        default=0.25, ge=0, lt=1, description="Where the range begins, as a share of the blocks."
    )
    last: float = Field(
        default=0.5, gt=0, le=1, description="Where it ends, the block there left out."
    )

    @model_validator(mode="after")
    def some_blocks(self) -> Self:
        """Check that the range is one."""
        if self.first >= self.last:
            raise ValueError(f"first ({self.first:g}) must be below last ({self.last:g})")
        return self

    def prepare_model(
        self,
        model: torch.nn.Module,
        batches: Iterable[Mapping[str, torch.Tensor]],
        seed: int,
    ) -> str:
        """See TrainingMethod."""
        trained = self.trained([name for name, _ in model.named_parameters()])
        counts = [0, 0]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trained)
            counts[name in trained] += parameter.numel()
        return f"{counts[1] / sum(counts):.1%} of the weights trained"

    def trained(self, names: list[str]) -> set[str]:
        """The parameters that are trained.

        Raises:
            ValueError: if there are none, in a model of other blocks or of too few.
        """
        blocks = {name: found for name in names if (found := BLOCK.search(name))}
        count = 1 + max((int(found[1]) for found in blocks.values()), default=-1)
        chosen = range(round(self.first * count), round(self.last * count))
        trained = {
            name
            for name, found in blocks.items()
            if int(found[1]) in chosen and found[2].rsplit(".", 1)[-1] in MATRICES
        }
        if not trained:
            raise ValueError(
                f"cofitune finds no {' or '.join(MATRICES)} in blocks {chosen.start} to "
                f"{chosen.stop - 1} of {count}: it knows Llama-like models alone"
            )
        return trained
