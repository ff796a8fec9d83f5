"""Forward passes for losses: one that says what a test wants, and those of a tiny model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import add_fused_lm_head

from fine_tune.collate import WeightedRows, row_places
from fine_tune.method import ForwardLosses, LossBatch, RejectedAnswers, WholeOutput
from fine_tune.wrapped_model import WrappedModel
from storage.exports_manifest import IGNORED


@dataclass
class FakeLosses:
    """What a forward pass gives."""

    log_probs: torch.Tensor
    entropy: torch.Tensor
    label_mask: torch.Tensor


class FakeForward:
    """Gives the same numbers whatever it reads."""

    def __init__(
        self, log_probs: Sequence[Sequence[float]], entropy: Sequence[Sequence[float]] | None = None
    ) -> None:
        """Take (rows, tokens - 1) log-probabilities, and entropies if a method reads them."""
        self.log_probs = torch.tensor(log_probs, requires_grad=True)
        given = self.log_probs.detach().abs() if entropy is None else torch.tensor(entropy)
        self.entropy = given
        self.mask = torch.ones(self.log_probs.shape, dtype=torch.bool)
        self.chosen: Sequence[torch.Tensor] = ()

    def batch(
        self,
        scores: Mapping[str, Sequence[float]] | None = None,
        weights: Sequence[Sequence[float]] | None = None,
    ) -> LossBatch:
        """The batch whose losses these are, a row of the export in each row."""
        rows, tokens = self.log_probs.shape
        labels = torch.full((rows, tokens + 1), IGNORED)
        labels[:, 1:][self.mask] = 1
        ones = torch.ones(rows, tokens)
        return LossBatch(
            inputs={"input_ids": torch.ones_like(labels), "labels": labels},
            weights=ones if weights is None else torch.tensor(weights),
            places=torch.arange(rows)[:, None].expand(rows, tokens),
            scores={name: torch.tensor(values) for name, values in (scores or {}).items()},
            model=self,
        )

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> ForwardLosses:
        """What a model would say."""
        return FakeLosses(self.log_probs * self.mask, self.entropy * self.mask, self.mask)

    def reference(self, inputs: Mapping[str, torch.Tensor]) -> ForwardLosses:
        """What the model said before: that each token has a chance of 1 / e."""
        said = -torch.ones(self.log_probs.shape)
        return FakeLosses(said * self.mask, self.entropy * self.mask, self.mask)

    def gradient(self) -> list[float]:
        """Of the log-probabilities, row by row."""
        assert self.log_probs.grad is not None
        found: list[float] = self.log_probs.grad.flatten().tolist()
        return found

    def whole(self, inputs: Mapping[str, torch.Tensor]) -> WholeOutput:
        """Nothing."""
        raise NotImplementedError

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Nothing."""
        raise NotImplementedError

    def adapter(self) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
        return {}

    def gates(self) -> Sequence[torch.Tensor]:
        return self.chosen

    def head(self, states: torch.Tensor) -> torch.Tensor:
        """Nothing."""
        raise NotImplementedError


def pair_batch(
    forward: FakeForward,
    rejected_of: Sequence[int],
    marks: Sequence[Sequence[float]] | None = None,
    weights: Sequence[Sequence[float]] | None = None,
) -> LossBatch:
    """A batch whose last rows are the rejected answers of some of the others, with their marks."""
    batch = forward.batch(weights=weights)
    rows = len(forward.log_probs) - len(rejected_of)
    inputs = {**batch.inputs, "attention_mask": torch.ones_like(batch.inputs["labels"])}
    given = torch.zeros(forward.log_probs.shape) if marks is None else torch.tensor(marks)
    return replace(
        batch,
        inputs={name: value[:rows] for name, value in inputs.items()},
        weights=batch.weights[:rows],
        places=batch.places[:rows],
        rejected=RejectedAnswers(
            inputs={name: value[rows:] for name, value in inputs.items()},
            rows=torch.tensor(rejected_of),
            marks=given[rows:],
            kept_marks=given[:rows],
        ),
    )


def real_batch(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    prompt: int,
    scores: Mapping[str, Sequence[float]] | None = None,
    *,
    packed: bool = False,
) -> LossBatch:
    """A batch of a model's own forward passes, its rows trained behind a prompt of some tokens."""
    if not hasattr(model, "fused_here"):
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
        model.fused_here = True  # type: ignore[assignment]
    given = [
        {"input_ids": list(row), "labels": [IGNORED] * prompt + list(row[prompt:])} for row in rows
    ]
    collator = WeightedRows(DataCollatorForLanguageModeling(0, padding_free=packed))
    inputs = collator(given)
    return LossBatch(
        inputs=inputs,
        weights=torch.ones(inputs["labels"][:, 1:].shape),
        places=row_places(inputs),
        scores={name: torch.tensor(values) for name, values in (scores or {}).items()},
        model=WrappedModel(model, model),
    )
