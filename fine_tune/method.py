"""What every method of training has in common: what it changes of a training, and what it is told.

A method is a block of a recipe and what it does, in one file of fine_tune/methods/. It overrides
the hook of what it changes and no other; fine_tune/weighted_trainer.py runs them. Importing this
costs no torch, so recipes may hold methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fine_tune.block import TrainingBlock
from fine_tune.mixed_export import MixedExport
from storage.exports_manifest import IGNORED

if TYPE_CHECKING:
    import torch

Change: TypeAlias = Literal[
    "weights of tokens",
    "weights of tasks",
    "inputs",
    "loss",
    "gradient",
    "adapter",
    "parameters",
    "trained weights",
]
"""What a training is made of, in the order in which methods are asked."""

Tuned: TypeAlias = Literal["lora", "qlora", "full"]
Divisor: TypeAlias = Literal["tokens", "weights", "rows", "pairs", "batches"]
"""What the losses of an optimizer step are summed over, and divided by the number of: trained
tokens, their weights, rows, rows with a rejected answer, or forward passes, each of which has its
own mean."""


@dataclass(frozen=True, slots=True)
class TrainedTurn:
    """One trained turn of a conversation, as it is about to be trained."""

    example_id: str
    """Of the conversation."""
    message: int
    """Index of the turn among its messages."""
    answer: Mapping[str, Any]
    """The turn, as a message."""
    tools: tuple[Mapping[str, Any], ...]
    tokens: NDArray[np.int64]
    """(t,) the ids that a loss is taken on."""
    decode: Callable[[Iterable[int]], str]


TokenWeights: TypeAlias = Callable[[TrainedTurn], NDArray[np.float32]]
"""From a turn to (t,) what its tokens count in the loss, times what they counted; 0: no label."""


class ForwardLosses(Protocol):
    """What a forward pass says of each next token; 0 where none is trained."""

    log_probs: torch.Tensor
    """(rows, tokens - 1) log p(token), differentiable."""
    entropy: torch.Tensor
    """(rows, tokens - 1) nats, differentiable."""
    label_mask: torch.Tensor
    """(rows, tokens - 1) where a token is trained."""


class WholeOutput(Protocol):
    """What a forward pass gives that keeps everything, the vocabulary's logits too."""

    logits: torch.Tensor
    """(rows, tokens, vocabulary)"""
    hidden_states: tuple[torch.Tensor, ...]
    """(rows, tokens, width) of each layer; the last is what the head reads."""


class TrainedModel(Protocol):
    """The model that is trained, as a loss may ask it."""

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> ForwardLosses:
        """Losses of the labels in the inputs, without logits in memory."""
        ...

    def reference(self, inputs: Mapping[str, torch.Tensor]) -> ForwardLosses:
        """The same of the model without its adapter, without a gradient."""
        ...

    def whole(self, inputs: Mapping[str, torch.Tensor]) -> WholeOutput:
        """Logits and hidden states."""
        ...

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """(rows, tokens, width) the input embeddings of ids."""
        ...

    def adapter(self) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
        """Layer → B (out, rank) and A (rank, in) of its adapter."""
        ...

    def gates(self) -> Sequence[torch.Tensor]:
        """Of each layer with experts, (rows, tokens, experts) what the last forward pass chose."""
        ...

    def head(self, states: torch.Tensor) -> torch.Tensor:
        """(…, vocabulary) logits of hidden states."""
        ...


@dataclass(frozen=True, slots=True)
class RejectedAnswers:
    """Answers that were rejected for some rows of a batch, each behind its row's prompt."""

    inputs: Mapping[str, torch.Tensor]
    """input_ids, labels and attention_mask, (m, tokens), padded."""
    rows: torch.Tensor
    """(m,) which row of the batch each belongs to, ascending."""
    marks: torch.Tensor
    """(m, tokens - 1) 1 where a next token was marked by the method."""
    kept_marks: torch.Tensor
    """The same of the rows of the batch, all of them."""


@dataclass(frozen=True, slots=True)
class AnswerLosses:
    """What a forward pass says of the next tokens of answers; 0 where none is trained."""

    log_probs: torch.Tensor
    """(rows, tokens - 1) log p(token), float32, differentiable."""
    label_mask: torch.Tensor
    """(rows, tokens - 1) where a token is trained."""


@dataclass(frozen=True, slots=True)
class LossBatch:
    """A batch whose loss a method takes."""

    inputs: Mapping[str, torch.Tensor]
    """input_ids, labels and what the model needs beside them, padded or packed."""
    weights: torch.Tensor
    """(rows, tokens - 1) what each next token counts; 1 where rows have no weights."""
    places: torch.Tensor
    """(rows, tokens - 1) which row of the export each next token is of, from 0."""
    scores: Mapping[str, torch.Tensor]
    """Score → (rows of the export,) the numbers of the batch's rows."""
    model: TrainedModel
    tasks: torch.Tensor | None = None
    """(rows of the export,) the number of each one's task; None where none are told apart."""
    rejected: RejectedAnswers | None = None
    """None where no row of the batch has one."""

    def read_both(self, *, reference: bool = False) -> tuple[AnswerLosses, AnswerLosses | None]:
        """The rows and their rejected answers, in one forward pass as everywhere.

        Processes that read together do as many passes each: one without rejected answers may not
        leave one out. With `reference` the model is asked without its adapter.
        """
        import torch
        from torch.nn.functional import pad

        ask = self.model.reference if reference else self.model.forward
        if self.rejected is None:
            read = ask(self.inputs)
            return AnswerLosses(read.log_probs.float(), read.label_mask), None
        both = [self.inputs, self.rejected.inputs]
        rows, tokens = zip(*(each["labels"].shape for each in both), strict=True)
        fills = {"input_ids": 0, "labels": IGNORED, "attention_mask": 0}
        joined = {
            name: torch.cat(
                [
                    pad(each[name], (0, max(tokens) - each[name].shape[1]), value=fill)
                    for each in both
                ]
            )
            for name, fill in fills.items()
        }
        read = ask(joined)
        log_probs, mask = read.log_probs.float(), read.label_mask
        kept, rejected = (
            AnswerLosses(log_probs[place, : count - 1], mask[place, : count - 1])
            for place, count in zip((slice(rows[0]), slice(rows[0], None)), tokens, strict=True)
        )
        return kept, rejected

    def read(self) -> ForwardLosses:
        """The model's own forward pass over the batch."""
        return self.model.forward(self.inputs)

    def row_sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sums (rows of the export,) of what each next token has."""
        rows = int(self.places.max()) + 1
        sums = values.new_zeros(rows)
        return sums.index_add(0, self.places.flatten(), values.flatten())


class TrainingMethod(TrainingBlock):
    """A block of `train.methods`: what a recipe's check asks, and hooks that a trainer calls."""

    changes: ClassVar[Change]
    tunes: ClassVar[tuple[Tuned, ...]] = ("lora", "qlora", "full")
    packs: ClassVar[bool] = True
    """Whether it works on rows that are joined without padding."""
    divides_by: ClassVar[Divisor] = "tokens"
    least_rows: ClassVar[int] = 1
    """Fewest rows of a forward pass that it can work with."""
    adapter_init: ClassVar[Literal["eva"] | None] = None
    """How PEFT is to begin an adapter, where that is the method."""
    takes_off: ClassVar[bool] = False
    """Of an adapter: whether it holds what it began with once more, to take it off."""
    no_mean: ClassVar[str] = ""
    """What it does that leaves nothing whose mean a soup could take."""
    rounds: ClassVar[bool] = False
    """Of parameters: whether it trains weights through their rounding, and writes them rounded."""
    loss_type: ClassVar[Literal["nll", "dft"]] = "nll"
    """TRL's loss, where that is the method."""
    weighs: ClassVar[bool] = True
    """Of a loss: whether the weights of rows count in it."""

    pairs: ClassVar[bool] = False
    """Of a loss: whether it reads the rejected answers that an export has beside its rows."""

    compares_with_base: ClassVar[bool] = False
    """Of a loss: whether the model without its adapter is what it begins with."""

    method: str

    def scores(self) -> tuple[str, ...]:
        """Scores that its loss reads; the export must have them."""
        return ()

    def looks_at(self) -> dict[str, MixedExport]:
        """Field → the export whose rows it looks at in place of those that are trained."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: each for name, each in fields.items() if isinstance(each, MixedExport)}

    def pinned(self, pin: Callable[[MixedExport], MixedExport]) -> Self:
        """The method with what it reads beside the rows held to what it is now.

        Args:
            pin: finds an export, and fills in its id.
        """
        return self.model_copy(update={name: pin(each) for name, each in self.looks_at().items()})

    def require_model(self, model: torch.nn.Module) -> None:
        """Refuse a model that it will not be able to change, before it is trained.

        Raises:
            ValueError: naming what it does not have.
        """

    def token_weights(self, conversations: Iterable[Mapping[str, Any]]) -> TokenWeights:
        """Look over the rows of the export, and say how each of their turns is weighed.

        Args:
            conversations: rows with `example_id`, `prompt`, `completion` and `tools`.
        """
        raise NotImplementedError

    def mark_answers(
        self, kept: Sequence[str], rejected: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Mark the tokens of an answer and of its rejected one that the loss treats apart; none.

        Args:
            kept: (t,) texts of the tokens that are trained.
            rejected: (u,) the same of the rejected answer.
        """
        return np.zeros(len(kept), np.bool_), np.zeros(len(rejected), np.bool_)

    def task_weights(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """(K,) what each of K tasks counts in the next optimizer step; together 1.

        Args:
            losses: (t, K) held-out losses of the tasks after each of the t steps that are done,
                nats per token.
        """
        raise NotImplementedError

    def change_inputs(
        self, inputs: Mapping[str, torch.Tensor], vocabulary: int, progress: float
    ) -> torch.Tensor:
        """The ids (rows, tokens) that the model reads in place of the batch's own.

        Args:
            inputs: the batch; labels are what is trained, whatever is read.
            vocabulary: number of ids that the tokenizer has.
            progress: share of the optimizer steps that are done.
        """
        raise NotImplementedError

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """The loss of a batch, summed over what `divides_by` says; nats."""
        raise NotImplementedError

    def take_gradient(
        self, model: torch.nn.Module, loss: Callable[[], torch.Tensor], seed: int
    ) -> torch.Tensor:
        """Add the gradient of a pass to what the trained parameters have, and give its loss.

        Args:
            model: that is trained.
            loss: takes the loss of the pass, of all processes, with the weights as they then are.
            seed: of the optimizer step; the same for each of its passes and processes.
        """
        raise NotImplementedError

    def init_adapter(
        self, model: torch.nn.Module, batches: Iterable[Mapping[str, torch.Tensor]]
    ) -> str:
        """Begin the adapter of a model; what was done, for the report.

        Args:
            model: with its adapter.
            batches: of the rows that will be trained, in their order, each with as many rows; of
                those of the export that it looks at, each with one.
        """
        raise NotImplementedError

    def prepare_model(
        self,
        model: torch.nn.Module,
        batches: Iterable[Mapping[str, torch.Tensor]],
        seed: int,
    ) -> str:
        """Change a model before its optimizer is made; what was done, for the report.

        Args:
            model: that will be trained.
            batches: as of init_adapter.
            seed: of the training.
        """
        raise NotImplementedError

    def finish_model(
        self,
        model: torch.nn.Module,
        start: Callable[[], torch.nn.Module],
        batches: Iterable[Mapping[str, torch.Tensor]],
    ) -> str:
        """Change the weights once they are trained; what was done, for the report.

        Args:
            model: trained, with its adapter if it has one.
            start: loads the model as it was before the training.
            batches: as of init_adapter.
        """
        raise NotImplementedError
