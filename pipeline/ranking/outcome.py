"""What a selection method answers: the picks in order, and why every other row is out."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Floats, Ints

Reason = Literal[
    "no_score",  # the score could not be had
    "wrong_answer",  # it ends on another answer than the trusted one
    "unverifiable",  # its prompt has no trusted answer
    "no_embedding",  # nor the embedding
    "below_threshold",
    "above_threshold",
    "below_share",
    "above_share",
    "low_confidence",
    "repaired",  # another response, which a judge finds better, stands in its place
    "not_better",  # than the response it would have replaced
    "no_original",  # what it would have replaced is not among the rows
    "harmful_noise",  # perplexity and entropy are both high
    "redundant",  # both are low
    "other_language",  # than those wanted
    "no_language",  # none that is known
    "marked_bad",  # by a person who read it
    "not_best_candidate",  # another answer to the same prompt is likelier
    "not_matched",  # the source whose numbers are matched has no row of its prompt
    "too_short",  # its response has fewer tokens than asked for
    "copies_prompt",  # its response repeats its prompt
    "same_response",  # another answer to the same prompt is the same text
    "no_alternative",  # the only answer to its prompt; beside a picked row it is a remark
    "too_similar",  # to a row picked before it
    "is_target",  # that rows are compared with, or an answer to its prompt
    "no_tags",  # nor a tag that enough rows have
    "no_new_tag",  # all its tags had been picked before it
    "covered",  # by a pick, the one nearest to it
    "near_duplicate",  # of a row that is kept
    "contaminated",  # it holds something of an evaluation set
    "shared_span",  # a long passage stands in a row that is kept
    "exact_duplicate",  # of a row that is kept
    "over_budget",  # the budget was used up before its turn
    "not_drawn",  # of a sample, of a stage, or of a control
    "no_share",  # its group has no share of the budget
    "other_stage",  # of a training in two stages
    "no_turn_left",  # of its trained turns: each is outside the bounds
    "no_response",  # a prompt only: nothing to train on
    "no_loss_tokens",  # the tokenizer leaves nothing of its response
    "truncated",  # longer than what the trainer reads
    "failed",  # its tokens could not be counted
    "not_measured",  # nor were they
    "personal_data",  # found in it
    "redacted",  # and replaced by its redacted version
    "license_not_allowed",  # of none of its sources
    "rejected_answer",  # the worse one of a pair of its source, and nothing else there
    "held_out",  # kept aside to measure training on
    "indicated",  # before any selection: a copy with a mark in its prompt stands for it
]

REASONS: frozenset[str] = frozenset(get_args(Reason))


def no_reasons(n: int) -> NDArray[np.object_]:
    """A reason for each of n rows, all still empty."""
    return np.full(n, "", dtype=object)


def no_causes(n: int) -> Ints:
    """A cause for each of n rows, all still -1: no row."""
    return np.full(n, -1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class TurnReasons:
    """Why single trained turns of n rows are read and not trained from a step on."""

    reasons: NDArray[np.object_]  # (n, k) a `Reason`; "" where nothing is said against a turn
    values: Floats  # (n, k) what decided; NaN: nothing

    @property
    def aside(self) -> NDArray[np.bool_]:
        """(n, k) the turns that are not trained."""
        return np.asarray(self.reasons != "", dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The picks of a method and what it thought of every row; n rows in, n rows accounted for."""

    indices: Ints  # (k,) rows in the order picked
    reasons: NDArray[np.object_]  # (n,) "" for the picked, a `Reason` for the others
    because_of: Ints  # (n,) the row that caused it, -1 where none did
    value: Floats  # (n,) what decided: a score, or the similarity to `because_of`; NaN: nothing
    remarks: NDArray[np.object_]  # (n,) a `Reason` that may stand beside a picked row; mostly ""
    notes: tuple[str, ...] = ()  # what the report says of the step, beside its numbers
    turns: TurnReasons | None = None  # of a step that decides about single turns of the picked rows
    details: NDArray[np.object_] | None = None  # (n,) what is said beside a row; None: nothing

    def __post_init__(self) -> None:
        """Check that every row is either picked once or has one reason.

        Raises:
            ValueError: if not, or a reason is not one of `Reason`.
        """
        out = np.asarray(self.reasons != "", dtype=bool)
        picked = np.bincount(self.indices, minlength=len(out))  # longer with a row out of range
        if len(picked) != len(out) or (picked + out != 1).any():
            raise ValueError(
                f"{len(out)} rows: {len(self.indices)} picked and {out.sum()} with a reason, "
                "but every row must be one or the other"
            )
        of_turns: set[str] = (
            set() if self.turns is None else set(self.turns.reasons.ravel().tolist())
        )
        unknown = (set(self.reasons) | set(self.remarks) | of_turns) - REASONS - {""}
        if unknown:
            raise ValueError(f"unknown reasons {sorted(unknown)}; there are: {sorted(REASONS)}")


def account_for(
    indices: Ints,
    reasons: NDArray[np.object_],
    value: Floats,
    because_of: Ints | None = None,
    remarks: NDArray[np.object_] | None = None,
) -> Outcome:
    """Build an Outcome; without causes and remarks where a method has none."""
    n = len(reasons)
    return Outcome(
        indices=indices,
        reasons=reasons,
        because_of=no_causes(n) if because_of is None else because_of,
        value=value,
        remarks=no_reasons(n) if remarks is None else remarks,
    )


def spread(outcome: Outcome, indices: Ints, reasons: NDArray[np.object_]) -> Outcome:
    """What a method made of some rows, as an Outcome of all n of them.

    Args:
        outcome: of the m rows that the method was given.
        indices: (m,) which of the n they are.
        reasons: (n,) what holds for the others: "" for those that are kept without being asked
            about; they come after the picks.
    """
    n = len(reasons)
    merged, causes, remarks = reasons.copy(), no_causes(n), no_reasons(n)
    values = np.full(n, np.nan)
    merged[indices], values[indices] = outcome.reasons, outcome.value
    remarks[indices] = outcome.remarks
    # -1 would take the last of `indices`; np.where throws that away.
    causes[indices] = np.where(outcome.because_of < 0, -1, indices[outcome.because_of])
    picks = indices[outcome.indices]
    others = np.setdiff1d(np.flatnonzero(merged == ""), picks)
    return Outcome(np.concatenate((picks, others)), merged, causes, values, remarks, outcome.notes)
