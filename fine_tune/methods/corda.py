"""CorDA: an adapter begins with the directions of the weights that rows make most, or least of.

    svd(W C) C^-1 = U S V^T        C = X^T X, the layer's inputs over the rows looked at
    B0 A0 = its first lora_rank parts, of the rows that are trained
          = its last ones, of the rows of `knowledge`

The model begins as it was, for what the adapter begins with is taken off again; gradients reach
those directions first. Of the rows that are trained they are what those make most of. With
`knowledge` they are what the rows of another export make least of: questions whose answers shall
not be forgotten, the paper's knowledge-preserved mode.

For LoRA on a task whose rows are like each other; with `knowledge`, for LoRA that shall forget less
of it. Not with few tokens: C is then known in few directions. Costs a forward pass over `rows`
rows, an svd of each layer and twice the adapter.

Yang et al. 2024, "CorDA", arXiv:2406.05223; PEFT's `preprocess_corda`. What is taken off is in the
adapter, not in the model's weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod, Tuned
from fine_tune.mixed_export import MixedExport

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig


class CorDA(TrainingMethod):
    """Begin the adapter by weights and the inputs of their layers."""

    changes: ClassVar[Change] = "adapter"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora",)
    packs: ClassVar[bool] = False
    takes_off: ClassVar[bool] = True

    method: Literal["corda"]
    rows: int = Field(default=256, ge=1, description="Most rows whose inputs are looked at.")
    knowledge: MixedExport | None = Field(
        default=None,
        exclude_if=lambda given: given is None,  # a training without it is the one it was
        description="Questions of what shall not be forgotten: the adapter begins with what they "
        "make least of. None: with what the rows that are trained make most of.",
    )

    def init_adapter(
        self, model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]]
    ) -> str:
        """See TrainingMethod."""
        from peft.tuners.lora.config import CordaConfig
        from peft.tuners.lora.corda import preprocess_corda

        from fine_tune.kept_base import begin_beside_base

        rows = list(islice(unpadded(batches), self.rows))

        def prepare(base: torch.nn.Module, config: LoraConfig) -> None:
            config.corda_config = CordaConfig(corda_method="kpm" if self.knowledge else "ipm")
            preprocess_corda(base, config, lambda: read_all(base, rows))

        did = begin_beside_base(model, prepare, "corda")
        if self.knowledge:
            return f"{did}; what {len(rows)} rows of {self.knowledge.export} make least of"
        return f"{did}; what {len(rows)} of the rows make most of"


def unpadded(batches: Iterable[Mapping[str, torch.Tensor]]) -> Iterator[torch.Tensor]:
    """The rows of batches one by one (1, tokens), without padding, which would count as input."""
    for batch in batches:
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            yield ids[mask.bool()][None]


def read_all(model: torch.nn.Module, rows: Iterable[torch.Tensor]) -> None:
    """Let a model read rows."""
    for ids in rows:
        model(input_ids=ids)
