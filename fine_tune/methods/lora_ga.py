"""LoRA-GA: an adapter begins where the first gradient of all weights goes.

    A0 = V^T of the first lora_rank parts of  svd(dL/dW),   B0 = a multiple of U of the next

The first step of the adapter is then near to one of full training; the model begins as it was, for
B0 A0 is taken off again. For LoRA that shall learn in few steps. Not for rows in an order that
makes the first ones unlike the rest: their gradient is what it begins by. Costs forward and
backward passes over `rows` rows with gradients of all linear weights, and twice the adapter.

Wang et al. 2024, "LoRA-GA", arXiv:2407.05000; PEFT's `preprocess_loraga` as it comes. What is taken
off is in the adapter, not in the model's weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod, Tuned

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig


class LoRAGA(TrainingMethod):
    """Begin the adapter by the gradient of the weights."""

    changes: ClassVar[Change] = "adapter"
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora",)
    packs: ClassVar[bool] = False
    takes_off: ClassVar[bool] = True

    method: Literal["lora_ga"]
    rows: int = Field(default=64, ge=1, description="Fewest rows whose gradient is looked at.")

    def init_adapter(
        self, model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]]
    ) -> str:
        """See TrainingMethod."""
        from peft import LoraGAConfig
        from peft.tuners.lora.loraga import preprocess_loraga

        from fine_tune.kept_base import begin_beside_base

        def prepare(base: torch.nn.Module, config: LoraConfig) -> None:
            config.lora_ga_config = LoraGAConfig()
            with warnings.catch_warnings():
                # Of the first layer, whose inputs need no gradient; its weights get theirs.
                warnings.filterwarnings("ignore", "Full backward hook is firing")
                preprocess_loraga(base, config, lambda: add_gradients(base, batches, self.rows))

        return begin_beside_base(model, prepare, "lora_ga")


def add_gradients(
    model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]], rows: int
) -> None:
    """Add up the gradients of batches until so many rows are read."""
    read = 0
    for batch in batches:
        if read >= rows:
            return
        model(**batch).loss.backward()
        read += len(batch["input_ids"])
