"""The model in training as losses ask it, and the loss where no method has one of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from fine_tune.collate import MARKS, REJECTED, REJECTED_MARKS, REJECTED_ROWS
from fine_tune.experts import routers
from fine_tune.kept_base import ADAPTER_NAME, adapter_layers
from fine_tune.method import ForwardLosses, LossBatch, RejectedAnswers, WholeOutput

Inputs: TypeAlias = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class WrappedModel:
    """A model in training; see TrainedModel."""

    wrapped: torch.nn.Module
    """As it is called, so that what several processes do together is done."""
    loaded: PreTrainedModel | PeftModel

    def forward(self, inputs: Inputs) -> ForwardLosses:
        """See TrainedModel."""
        found: ForwardLosses = self.wrapped(**inputs, use_cache=False, fused_lm_head=True)
        return found

    def reference(self, inputs: Inputs) -> ForwardLosses:
        """See TrainedModel."""
        with torch.no_grad(), without_adapter(self.loaded):
            return self.forward(inputs)

    def whole(self, inputs: Inputs) -> WholeOutput:
        """See TrainedModel."""
        read = {name: value for name, value in inputs.items() if name != "labels"}
        found: WholeOutput = self.wrapped(**read, use_cache=False, output_hidden_states=True)
        return found

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """See TrainedModel."""
        embedded: torch.Tensor = self.loaded.get_input_embeddings()(ids)
        return embedded

    def adapter(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """See TrainedModel."""
        return {
            name: (each.lora_B[ADAPTER_NAME].weight, each.lora_A[ADAPTER_NAME].weight)
            for name, each in adapter_layers(self.loaded)[1].items()
        }

    def gates(self) -> list[torch.Tensor]:
        """See TrainedModel."""
        return [each.gates for each in routers(self.loaded).values() if each.gates is not None]

    def head(self, states: torch.Tensor) -> torch.Tensor:
        """See TrainedModel."""
        logits: torch.Tensor = self.loaded.get_output_embeddings()(states)
        return logits


@contextmanager
def without_adapter(model: PreTrainedModel | PeftModel) -> Iterator[None]:
    """A model as it is without its adapter.

    Raises:
        TypeError: if it has none.
    """
    if not isinstance(model, PeftModel):
        raise TypeError(f"expected a model with an adapter, got {type(model).__name__}")
    trained = [each.requires_grad for each in model.parameters()]
    with model.disable_adapter():
        yield
    # PEFT lets all of an adapter ask for a gradient again.
    for parameter, was in zip(model.parameters(), trained, strict=True):
        parameter.requires_grad_(was)


def rejected_of(inputs: Inputs) -> RejectedAnswers | None:
    """The rejected answers of a batch; None where it has none."""
    if REJECTED_ROWS not in inputs:
        return None
    names = ("input_ids", "labels", "attention_mask")
    return RejectedAnswers(
        inputs={name: inputs[f"{REJECTED}{name}"] for name in names},
        rows=inputs[REJECTED_ROWS],
        marks=inputs[REJECTED_MARKS][:, 1:],
        kept_marks=inputs[MARKS][:, 1:],
    )


def weighted_nats(batch: LossBatch, *, by_probability: bool) -> torch.Tensor:
    """The sum of each trained token's loss times its weight, and times its probability if so."""
    # log_probs are 0 where there is no label
    log_probs = batch.read().log_probs.float()
    nats = -log_probs * log_probs.exp().detach() if by_probability else -log_probs
    return (nats * batch.weights).sum()
