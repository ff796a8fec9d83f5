"""FAIT: tokens by which an answer differs from a wrong one to the same prompt count more.

    K, R    tokens in which the kept and the rejected answer differ, by lines and then within them
    a = mean over K of log p(token),     b = mean over R of the same
    w_t = 1 + more sigmoid( (b - a) / spread ) for t in K, 1 for others;  no gradient through w
    loss = mean over trained tokens of -w_t log p(token_t)

What makes the answer right is learnt harder, the more so while the model finds the wrong tokens the
likelier ones. A row without a rejected answer is trained plainly; where the rejected answer only
lacks something, b is taken for a.

For code and calculations, where a wrong answer is a right one but for a few tokens, and the pool
has such (`export: {rejected: [wrong_answer]}`). Not for answers that are wholly different: all of
their tokens would count more, which is no more than another learning rate. Costs the tokens of both
answers: 2.5 times plain training as measured, where all rows have one.

Fait 2025, "Fault-Aware Fine-Tuning", arXiv:2503.16913. Its weights are not published in a form that
we could check: the formula of w is ours, and so is the division by tokens. There a model writes the
wrong variants; here they are answers that the selection dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fine_tune.method import Change, LossBatch, TrainingMethod

if TYPE_CHECKING:
    import torch


class FAIT(TrainingMethod):
    """Weigh what makes an answer right by how likely the wrong is."""

    changes: ClassVar[Change] = "loss"
    packs: ClassVar[bool] = False
    pairs: ClassVar[bool] = True

    method: Literal["fait"]
    more: float = Field(default=1.0, gt=0, description="Most that such a token counts beside 1.")
    spread: float = Field(
        default=1.0, gt=0, description="Nats of difference that move its weight from the middle."
    )

    def mark_answers(
        self, kept: Sequence[str], rejected: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """See TrainingMethod."""
        return differing_tokens(kept, rejected)

    def batch_loss(self, batch: LossBatch) -> torch.Tensor:
        """See TrainingMethod."""
        kept, rejected = batch.read_both()
        weights = batch.weights
        if rejected is not None and batch.rejected is not None:
            marks = batch.rejected.kept_marks * kept.label_mask
            ours = marked_mean(kept.log_probs.detach(), marks)[batch.rejected.rows]
            their_marks = batch.rejected.marks * rejected.label_mask
            theirs = marked_mean(rejected.log_probs.detach(), their_marks)
            gap = (theirs - ours) * (their_marks.sum(-1) > 0)
            extra = weights.new_zeros(len(weights))
            extra[batch.rejected.rows] = self.more * (gap / self.spread).sigmoid()
            weights = weights * (1 + extra[:, None] * marks)
        return -(kept.log_probs * weights).sum()


def marked_mean(values: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """(rows,) mean of the values (rows, tokens) that are marked; 0 where none is."""
    means: torch.Tensor = (values * marks).sum(-1) / marks.sum(-1).clamp(min=1)
    return means


def differing_tokens(
    kept: Sequence[str], rejected: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark the tokens in which two answers differ: of lines that differ, those that do.

    Args:
        kept: (t,) texts of the tokens of one.
        rejected: (u,) of the other.

    Returns:
        (t,) and (u,) where they differ.
    """
    marks = np.zeros(len(kept), dtype=np.bool_), np.zeros(len(rejected), dtype=np.bool_)
    ends = line_ends(kept), line_ends(rejected)
    ours, theirs = (
        [tuple(tokens[start:end]) for start, end in pairwise(at)]
        for tokens, at in zip((kept, rejected), ends, strict=True)
    )
    lines = SequenceMatcher(None, ours, theirs, autojunk=False)
    for change, *block in lines.get_opcodes():
        if change == "equal":
            continue
        first, behind = ends[0][block[0]], ends[0][block[1]]
        other, other_behind = ends[1][block[2]], ends[1][block[3]]
        within = SequenceMatcher(
            None, kept[first:behind], rejected[other:other_behind], autojunk=False
        )
        for inner, start, end, begin, stop in within.get_opcodes():
            marks[0][first + start : first + end] = inner != "equal"
            marks[1][other + begin : other + stop] = inner != "equal"
    return marks


def line_ends(tokens: Sequence[str]) -> list[int]:
    """0, and behind which tokens lines end; the last line ends with the last token."""
    ends = [place for place, text in enumerate(tokens, start=1) if "\n" in text]
    return list(dict.fromkeys([0, *ends, len(tokens)]))
