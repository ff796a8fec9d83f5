"""LiNeS: what was learnt is scaled down in the first blocks, and kept whole in the last.

    theta_l = theta_0 + (first + (1 - first) l / (L - 1)) (theta_trained - theta_0)     block l of L

Parameters outside the blocks take `first`. The first blocks hold what all tasks share, the last
what one is about: most of what other tasks lose comes back, little of this one. For after a
training, of LoRA or of all weights, where the model is used for more than it was trained for. Not
where the training is all it is for. Costs one pass over the weights; to choose `first`, evaluate
some values, on the target and on what is to be kept.

Wang et al. 2024, "LiNeS", arXiv:2410.17146. Their rule for several merged tasks is not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod

if TYPE_CHECKING:
    import torch

LAYER = re.compile(r"\.layers\.(\d+)\.")


class LiNeS(TrainingMethod):
    """Scale the training's change of each block by its depth."""

    changes: ClassVar[Change] = "trained weights"

    method: Literal["lines"]
    first: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="What is kept of the change in the first block; the last keeps all.",
    )

    def require_model(self, model: torch.nn.Module) -> None:
        """See TrainingMethod."""
        depth_factors([name for name, _ in model.named_parameters()], self.first)

    def finish_model(
        self,
        model: torch.nn.Module,
        start: Callable[[], torch.nn.Module],
        batches: Iterable[Mapping[str, torch.Tensor]],
    ) -> str:
        """See TrainingMethod."""
        import torch

        names = [name for name, _ in model.named_parameters()]
        factors = depth_factors(names, self.first)
        low_rank = any("lora_B" in name for name in names)
        before = {} if low_rank else dict(start().named_parameters())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:  # the change is B A: one of them is scaled
                    parameter.mul_(factors[name])
                elif not low_rank:
                    parameter.lerp_(before[name].to(parameter), 1 - factors[name])
        return f"change scaled from {self.first:g} in the first block to 1 in the last"


def depth_factors(names: list[str], first: float) -> dict[str, float]:
    """Parameter → what is kept of its change.

    Raises:
        ValueError: if no parameter is of a block, so that depth says nothing.
    """
    found = {name: LAYER.search(f".{name}") for name in names}
    layers = [int(each[1]) for each in found.values() if each]
    if not layers:
        raise ValueError("lines scales by depth, and this model has no blocks named layers")
    last = max(layers)
    return {
        name: first + (1 - first) * int(each[1]) / last
        if each and last
        else (1.0 if each else first)
        for name, each in found.items()
    }
