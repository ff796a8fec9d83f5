r"""Correct answers: drop the responses that end on another answer than the trusted one.

    correct_i = 1[ answer(y_i) = answer(y) for a trusted response y to the same prompt ]

answer() is the final answer of a text (pipeline/text/final_answer.py): after "####", in \boxed{},
after "the answer is", a letter alone on the last line, or else the last number; numbers compare as
numbers. A prompt with several trusted answers takes any of them. The number stored with each
decision is 1 where the response is right, 0 where it is not, null where it was not asked or could
not be told; `sluice suggest` counts them.

It is for verifiable tasks, and the first step there: GRAPE picks the likeliest of *correct*
candidates, and the likeliest wrong one is no better for being likely (Zhang et al. 2025,
arXiv:2502.04194, which filters its candidates like this). Not for open-ended tasks, where an answer
is no single value, and no proof of sound reasoning: a wrong derivation that ends on the right
number passes. It asks no model; a thousand responses take a tenth of a second, and formulas in
LaTeX up to some tens of milliseconds each.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.ranking.outcome import Outcome, account_for, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import Filter, by_id
from pipeline.text.final_answer import final_answer, same_answer
from scorers.arrays import Floats, Strings, require_same_length

CURRENCIES = ("$", "€", "£")


def verdicts(
    answers: Sequence[str | None],
    prompt_ids: Strings,
    trusted: Sequence[str | None],
    units: Sequence[str] = (),
) -> Floats:
    """Say of each answer whether it is one of the trusted ones of its prompt.

    Args:
        answers: (n,) final answers; None for a response without one, which is wrong.
        prompt_ids: (n,) rows with the same one answer the same prompt.
        trusted: (n,) the trusted answer that a row holds for its prompt; None for most.
        units: What does not count beside a number.

    Returns:
        (n,) 1 right, 0 wrong, NaN where the prompt has no trusted answer.
    """
    known: dict[str, set[str]] = defaultdict(set)
    for prompt, answer in zip(prompt_ids, trusted, strict=True):
        if answer is not None:
            known[str(prompt)].add(answer)

    @lru_cache(maxsize=4096)  # candidates of a prompt give the same few answers again and again
    def agree(given: str, wanted: str) -> bool:
        return same_answer(given, wanted, units)

    def verdict(prompt: str, answer: str | None) -> float:
        if prompt not in known:
            return float("nan")
        return float(answer is not None and any(agree(answer, each) for each in known[prompt]))

    return np.array(
        [verdict(str(prompt), each) for prompt, each in zip(prompt_ids, answers, strict=True)],
        dtype=np.float64,
    )


def select_correct(
    correct: Floats, references: NDArray[np.bool_], ids: Strings, keep_unverifiable: bool = False
) -> Outcome:
    """Pick the rows whose answer is right.

    Args:
        correct: (n,) 1 right, 0 wrong, NaN where there is nothing to compare with.
        references: (n,) rows that hold a trusted answer; they stay, whatever else is said.
        ids: (n,) distinct example ids.
        keep_unverifiable: Whether rows stay that there is nothing to compare with.

    Returns:
        The picks by id; the others are "wrong_answer" or "unverifiable". Values are `correct`, but
        NaN for references, which nobody judged.

    Raises:
        ValueError: if lengths differ.
    """
    require_same_length(correct=correct, references=references, ids=ids)
    reasons = no_reasons(len(ids))
    reasons[correct == 0] = "wrong_answer"
    if not keep_unverifiable:
        reasons[np.isnan(correct)] = "unverifiable"
    reasons[references] = ""  # last: a trusted row stays, also where sources contradict each other
    picks = by_id(np.flatnonzero(reasons == ""), ids)
    return account_for(picks, reasons, np.where(references, np.nan, correct))


class CorrectAnswer(Filter):
    """Drop responses whose final answer is not the trusted one, before GRAPE (arXiv 2502.04194)."""

    method: Literal["correct_answer"]
    reference: tuple[str, ...] = Field(
        default=(), description="Paths of the sources whose rows hold the trusted answers."
    )
    marker: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="What stands before a trusted answer. With `reference`, in the rows of those "
        "sources; without, in any row: a row whose response has it holds the trusted answer.",
    )
    units: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=CURRENCIES, description="What does not count before or after a number."
    )
    unverifiable: Literal["keep", "drop"] = Field(
        default="drop", description="What happens to rows whose prompt has no trusted answer."
    )

    @model_validator(mode="after")
    def somebody_to_trust(self) -> Self:
        """Check that there are trusted answers."""
        if not self.reference and self.marker is None:
            raise ValueError(
                "give `reference`, the path of a source with trusted answers, or `marker`"
            )
        return self

    def named_sources(self) -> tuple[str, ...]:
        """Where the trusted answers are."""
        return self.reference

    def by_row(self) -> bool:
        """By the trusted answers to its prompt."""
        return True

    def pick(self, rows: Candidates) -> Outcome:
        """Keep the right answers, and the trusted rows themselves."""
        responses = [str(text) for text in rows.column("response")]
        asked = np.ones(len(rows), dtype=np.bool_)  # which rows may hold a trusted answer
        if self.reference:
            asked = np.any([rows.members(path) for path in self.reference], axis=0)
        trusted = [
            final_answer(text, self.marker) if ask else None
            for text, ask in zip(responses, asked, strict=True)
        ]
        answers = [final_answer(text) for text in responses]
        correct = verdicts(answers, rows.column("prompt_id"), trusted, self.units)
        holds = np.array([answer is not None for answer in trusted], dtype=np.bool_)
        return select_correct(correct, holds, rows.ids, self.unverifiable == "keep")
