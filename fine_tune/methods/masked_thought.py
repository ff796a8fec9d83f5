"""Masked Thought: some of the answer's tokens are replaced where they are read, not where trained.

    loss = - sum_t log p(y_t | x, y~_<t) / T     y~_i = a random token with probability q, else y_i
    q(step) = q_max min(1, step / (rise * steps))

The model cannot lean on the last few tokens of its own reasoning and has to look back at the
question. For chains of reasoning where each step repeats parts of the one before. Not for tool
calls, code or facts to be learnt word for word: an argument that is read wrongly is trained to be
written rightly out of nothing. Costs nothing.

Chen et al. 2024, "Masked Thought", arXiv:2403.02178: q_max 0.4 for GSM8K with random tokens, 0.2
for MATH with a mask token, rise 2/3. A mask token is not offered: it would have to be added to the
vocabulary. Random tokens are drawn from all ids of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod
from storage.exports_manifest import IGNORED

if TYPE_CHECKING:
    import torch


class MaskedThought(TrainingMethod):
    """Read some of the answer wrongly, and train all of it."""

    changes: ClassVar[Change] = "inputs"

    method: Literal["masked_thought"]
    share: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the trained tokens that are read as others."
    )
    rise: float = Field(
        default=2 / 3,
        ge=0,
        le=1,
        description="Share of the steps in which it grows from 0; 0: none.",
    )

    def change_inputs(
        self, inputs: Mapping[str, torch.Tensor], vocabulary: int, progress: float
    ) -> torch.Tensor:
        """See TrainingMethod."""
        import torch

        ids, trained = inputs["input_ids"], inputs["labels"] != IGNORED
        share = self.share * min(1.0, progress / self.rise) if self.rise else self.share
        # Torch's own state: a checkpoint has it, so a resumed training draws what it would have.
        replaced = (torch.rand(ids.shape, device=ids.device) < share) & trained
        drawn = torch.randint(vocabulary, ids.shape, device=ids.device)
        return torch.where(replaced, drawn, ids)
