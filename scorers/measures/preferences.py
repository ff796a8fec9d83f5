"""Which of two responses a judge finds better, asked in both orders.

    v_io = P(the judge's reply is "the first", "the second", "neither" | order o) / mass

The judge is shown a request and two responses, A and B, and replies with a letter, C for a tie. Its
probabilities are read, not its pick, and it is asked twice, with the responses the other way
round, for most judges lean to one place. The arithmetic is in scorers/preference.py.

It is CLEAR's question whether a repair is better than what stood there, arXiv:2403.12776; the
published wording is not known to us, and this one is ours. There the confidence in the verdict
comes from several sampled verdicts; here it is the judge's own probability of the letter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scorers.measures.protocols import Message, OptionModel, OptionProbabilities
from scorers.measures.reflection import ask_user, transcript

VERSION = 1  # raised when the same rows and judge may give other verdicts

LETTERS = ("A", "B", "C")

QUESTION = """\
Below are a request and two responses to it.

Request:
{prompt}

Response A:
{first}

Response B:
{second}

Which response is better? Consider which one does what was asked, and is right, helpful and clear.
A. Response A is better.
B. Response B is better.
C. Neither is better than the other.
Reply with one letter only."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A request, the response it was given, and another one."""

    prompt_messages: Sequence[Message]
    given: str
    other: str


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """What was said of one pair. Both null unless the state is "ok"."""

    state: Literal["ok", "truncated", "failed"]
    detail: str | None = None  # why the state is not "ok"
    verdicts: list[list[float]] | None = None
    """(2, 3) for each order the probabilities of: given better, other better, neither."""
    verdict_mass: list[float] | None = None
    """(2,) what the three letters had together; near 0 the judge said other things."""


def compare_pairs(
    pairs: Sequence[Pair],
    judge: OptionModel,
    fits: Callable[[Sequence[Message]], bool] | None = None,
) -> list[PreferenceRow]:
    """Ask the judge about each pair, twice.

    Args:
        pairs: n pairs.
        judge: the model that is asked.
        fits: whether the judge can read a question; by default it can read all.

    Returns:
        n rows, aligned with the pairs. "truncated": a question does not fit. "failed": the judge
        gave no reply to one of the two, or no letter any probability.
    """
    questions = [(question(pair, False), question(pair, True)) for pair in pairs]
    fitting = [fits is None or all(map(fits, both)) for both in questions]
    asked = [both for both, fit in zip(questions, fitting, strict=True) if fit]
    forward = judge.option_probabilities([both[0] for both in asked], LETTERS)
    backward = judge.option_probabilities([both[1] for both in asked], LETTERS)
    compared = iter([_row(forward, backward, at) for at in range(len(asked))])
    too_long = PreferenceRow("truncated", "the two responses are too long for the judge")
    return [next(compared) if fit else too_long for fit in fitting]


def question(pair: Pair, swapped: bool) -> Sequence[Message]:
    """The question about a pair; swapped, the other response stands first."""
    first, second = (pair.other, pair.given) if swapped else (pair.given, pair.other)
    texts = {"prompt": transcript(pair.prompt_messages), "first": first, "second": second}
    return ask_user(QUESTION, texts)


def _row(forward: OptionProbabilities, backward: OptionProbabilities, at: int) -> PreferenceRow:
    failure = forward.failures.get(at) or backward.failures.get(at)
    if failure is not None:
        return PreferenceRow(failure.state, f"{failure.reason}: {failure.detail}")
    # (2, 3); swapped, A stands for the other response.
    verdicts = np.stack([forward.probabilities[at], backward.probabilities[at][[1, 0, 2]]])
    if not np.isfinite(verdicts).all():
        return PreferenceRow("failed", "no_option: the judge gave no letter any probability")
    mass = [float(forward.mass[at]), float(backward.mass[at])]
    return PreferenceRow("ok", None, verdicts.tolist(), mass)
