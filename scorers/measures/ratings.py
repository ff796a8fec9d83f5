"""How a judge divides its belief between the marks that it could give an example.

    p_k = P(the reply begins with option k) / mass      mass = sum over k of P(option k)

The question is a text of the user's with `{prompt}` and `{response}` in it, and the reply is one of
a few options, such as "1" to "6". The whole distribution is kept and not the likeliest mark: most
judges give nearly everything the same mark, and the order of the rows is in the rest. Where no
option has any probability there is no rating: no mark in the middle stands in for one.

DEITA (arXiv:2312.15685) has judges of its own, trained to reply with a mark; here it is any model
that follows a question, and the wording is ours.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scorers.arrays import Floats
from scorers.measures.protocols import GenerationFailure, Message, OptionModel
from scorers.measures.reflection import ask_user, transcript
from scorers.names import did_you_mean

VERSION = 1  # raised when the same rows, question and model may give other ratings

PLACEHOLDERS = ("prompt", "response")

QUALITY = """\
Below are a request and a response that was written to it.

Request:
{prompt}

Response:
{response}

How good is the response? Consider whether it does what was asked, whether it is right and whether
it is clear. 1 means that it is of no use, 6 that it could hardly be better.
Reply with one number from 1 to 6 only."""

MARKS = ("1", "2", "3", "4", "5", "6")  # what the question QUALITY can be answered with


@dataclass(frozen=True, slots=True)
class RatedRow:
    """An example to be rated."""

    prompt_messages: Sequence[Message]
    response: str


@dataclass(frozen=True, slots=True)
class RatingRow:
    """What was said of one example; k options. Both null unless the state is "ok"."""

    state: Literal["ok", "truncated", "failed"]
    detail: str | None = None  # why the state is not "ok"
    probabilities: list[float] | None = None  # (k,) in the order of the options; they sum to 1
    mass: float | None = None
    """Probability that the options had together, in [0, 1]; near 0 the judge said other things."""


def rate_answers(
    rows: Sequence[RatedRow],
    template: str,
    options: Sequence[str],
    judge: OptionModel,
    fits: Callable[[Sequence[Message]], bool] | None = None,
) -> list[RatingRow]:
    """Ask the judge about each row.

    Args:
        rows: n examples.
        template: the question, with `{prompt}` and `{response}` where they belong.
        options: k replies; none may be the beginning of another.
        judge: the model that is asked.
        fits: whether the judge can read a question; by default it can read all.

    Returns:
        n ratings, aligned with the rows. "truncated": the question does not fit. "failed": the
        judge gave no reply, or no option any probability; the detail says which.

    Raises:
        ValueError: if the judge cannot tell the options apart.
    """
    questions = [rating_question(template, row) for row in rows]
    fitting = [fits is None or fits(question) for question in questions]
    asked = [question for question, fit in zip(questions, fitting, strict=True) if fit]
    answer = judge.option_probabilities(asked, options)
    rated = iter(
        _rating(answer.failures.get(at), answer.probabilities[at], float(answer.mass[at]))
        for at in range(len(asked))
    )
    too_long = RatingRow("truncated", "the question about it is too long for the judge")
    return [next(rated) if fit else too_long for fit in fitting]


def rating_question(template: str, row: RatedRow) -> Sequence[Message]:
    """The question about one row; braces in its text are text."""
    texts = {"prompt": transcript(row.prompt_messages), "response": row.response}
    return ask_user(template, texts)


def check_template(template: str) -> None:
    """Refuse a question with a name in braces that nothing is put in for, or about no row at all.

    Braces around anything but a name are text.

    Raises:
        ValueError: with the nearest name and all of them.
    """
    names = re.findall(r"\{(\w+)\}", template)
    known = [f"{{{name}}}" for name in PLACEHOLDERS]
    for name in names:
        if name not in PLACEHOLDERS:
            told = did_you_mean(f"{{{name}}}", known)
            raise ValueError(f"nothing to put in for {{{name}}}. {told}")
    if not names:
        told = did_you_mean("", known)
        raise ValueError(f"the question would be the same for every row. {told}")


def _rating(failure: GenerationFailure | None, probabilities: Floats, mass: float) -> RatingRow:
    if failure is not None:
        return RatingRow(failure.state, f"{failure.reason}: {failure.detail}")
    if not np.isfinite(probabilities).all():
        return RatingRow("failed", "no_option: the judge gave no option any probability")
    return RatingRow("ok", None, probabilities.tolist(), mass)
