"""EVA: an adapter begins where the inputs of its layers vary most, and layers share its rank.

    A = the first right-singular vectors of a layer's inputs X,  X = U S V^T  over the rows trained
    B = 0,   rank of a layer by the variance its directions explain; the sum of all ranks stays

The model begins as it was, for B is 0; gradients then reach A's directions at once. For LoRA of
small rank on rows that differ from what the model was trained on. Not with ranks so high that every
direction is there anyway. Costs a forward pass over batch after batch before the training, with a
decomposition for each layer whose directions still move.

Paischer et al. 2024, "One Initialization to Rule them All", arXiv:2410.07170; PEFT's
`initialize_lora_eva_weights`. Rows are read in their order, again and again where they are few;
tokens without a loss are left out, as published. PEFT reads on until every direction stands still,
and where two of them explain about the same they may turn for long: here it ends after
`most_batches`, with the directions as they are then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod, Tuned
from storage.exports_manifest import IGNORED

if TYPE_CHECKING:
    import torch


class EVA(TrainingMethod):
    """Begin the adapter by the inputs of its layers."""

    changes: ClassVar[Change] = "adapter"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora",)
    packs: ClassVar[bool] = False
    no_mean: ClassVar[str] = "gives layers ranks of their own, which have no mean"
    adapter_init: ClassVar[Literal["eva"] | None] = "eva"

    method: Literal["eva"]
    most_rank: float = Field(
        default=2.0, ge=1, description="Most that a layer gets, in times lora_rank; 1: all alike."
    )
    still: float = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="Cosine of a direction to what it was a batch before, from which on it stands.",
    )
    most_batches: int = Field(
        default=100, ge=2, description="Most batches read until all directions stand."
    )

    def init_adapter(
        self, model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]]
    ) -> str:
        """See TrainingMethod."""
        import torch
        from peft import EvaConfig, LoraConfig, PeftModel, initialize_lora_eva_weights

        if not isinstance(model, PeftModel):
            raise TypeError(f"expected a model with an adapter, got {type(model).__name__}")
        config = model.peft_config["default"]
        assert isinstance(config, LoraConfig)
        directions = round(self.most_rank * config.r)
        read = [each for each in islice(batches, self.most_batches) if trained(each) >= directions]
        if not read:
            raise ValueError(
                f"eva looks for {directions} directions in a batch, and no batch has as many "
                "trained tokens: give more batch_rows, or a lower lora_rank or most_rank"
            )
        bounded = BoundedBatches(read, self.most_batches, torch.tensor(self.still))
        settings: Any = EvaConfig(rho=self.most_rank)
        settings.tau = bounded.still
        config.eva_config = settings
        training = model.training
        initialize_lora_eva_weights(model, bounded, show_progress_bar=False)
        model.train(training)
        settings.tau = self.still
        ranks = [len(weights) for name, weights in model.named_parameters() if "lora_A" in name]
        shared = f"ranks from {min(ranks)} to {max(ranks)} over {len(ranks)} layers"
        if bounded.still < 0:
            return f"{shared}; some directions still moved after {self.most_batches} batches"
        return shared


def trained(batch: Mapping[str, torch.Tensor]) -> int:
    """Tokens of a batch that have a loss; EVA looks at the inputs of no others."""
    return int((batch["labels"] != IGNORED).sum())


@dataclass(frozen=True, slots=True)
class BoundedBatches:
    """Batches as PEFT's EVA goes through them: over and over, until every direction stands still.

    PEFT has no other end, but asks what still means each time anew. After so many batches that
    becomes a cosine which any two directions have, and PEFT is done with the batch after.
    """

    batches: Sequence[Mapping[str, torch.Tensor]]
    most: int
    still: torch.Tensor  # shape (), lowered in place

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Mapping[str, torch.Tensor]]:
        for number, batch in enumerate(cycle(self.batches)):
            if number == self.most - 1:  # by the last that is read, all of them stand
                self.still.fill_(-2.0)
            yield batch
