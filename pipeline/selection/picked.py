"""What a selection method answers: the picks in order, and why every other row is out."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Floats, Ints

Reason = Literal[
    "no_score",  # the score could not be had
    "no_embedding",  # nor the embedding
    "below_threshold",
    "above_threshold",
    "low_confidence",
    "not_best_candidate",  # another answer to the same prompt is likelier
    "same_response",  # another answer to the same prompt is the same text
    "no_alternative",  # the only answer to its prompt; beside a picked row it is a remark
    "too_similar",  # to a row picked before it
    "near_duplicate",  # of a row that is kept
    "exact_duplicate",  # of a row that is kept
    "over_budget",  # the budget was used up before its turn
    "not_drawn",  # of a control
    "no_response",  # a prompt only: nothing to train on
    "no_loss_tokens",  # the tokenizer leaves nothing of its response
    "truncated",  # longer than what the trainer reads
    "failed",  # its tokens could not be counted
    "not_measured",  # nor were they
    "held_out",  # kept aside to measure training on
]

REASONS: frozenset[str] = frozenset(get_args(Reason))


def no_reasons(n: int) -> NDArray[np.object_]:
    """A reason for each of n rows, all still empty."""
    return np.full(n, "", dtype=object)


def no_causes(n: int) -> Ints:
    """A cause for each of n rows, all still -1: no row."""
    return np.full(n, -1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Picked:
    """The picks of a method and what it thought of every row; n rows in, n rows accounted for."""

    indices: Ints
    """(k,) rows in the order picked."""
    reasons: NDArray[np.object_]
    """(n,) "" for the picked, a `Reason` for the others."""
    because_of: Ints
    """(n,) the row that caused it, -1 where none did."""
    value: Floats
    """(n,) the number that decided: a score, or the similarity to `because_of`. NaN: none."""
    remarks: NDArray[np.object_]
    """(n,) a `Reason` that may also stand beside a picked row; mostly ""."""
    notes: tuple[str, ...] = ()
    """What a reader of the run must know of how it was found; stored with the step's counts."""

    def __post_init__(self) -> None:
        """Check that every row is either picked once or has one reason.

        Raises:
            ValueError: if not, or a reason is not one of `Reason`.
        """
        out = np.asarray(self.reasons != "", dtype=bool)
        picked = np.bincount(self.indices, minlength=len(out))
        if len(picked) != len(out) or (picked + out != 1).any():
            raise ValueError(
                f"{len(out)} rows: {len(self.indices)} picked and {out.sum()} with a reason, "
                "but every row must be one or the other"
            )
        unknown = (set(self.reasons) | set(self.remarks)) - REASONS - {""}
        if unknown:
            raise ValueError(f"unknown reasons {sorted(unknown)}; there are: {sorted(REASONS)}")


def account_for(
    indices: Ints,
    reasons: NDArray[np.object_],
    value: Floats,
    because_of: Ints | None = None,
    remarks: NDArray[np.object_] | None = None,
) -> Picked:
    """Build a Picked; without causes and remarks where a method has none."""
    n = len(reasons)
    return Picked(
        indices=indices,
        reasons=reasons,
        because_of=no_causes(n) if because_of is None else because_of,
        value=value,
        remarks=no_reasons(n) if remarks is None else remarks,
    )
