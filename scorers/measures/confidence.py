"""What CLEAR needs to know of a given answer: does the model agree with it when asked?

Two questions are put about the target (the answer in the data set), and stored as they come:

    consistency   each of k sampled answers is compared with the target: p(contradiction) in both
                  orders, and whether the two are the same but for typing
    reflection    a model reads prompt and target and says "correct", "incorrect" or "not sure",
                  in two wordings; its probabilities are kept, not its pick

It is the target that is compared with the samples. How far the samples agree among themselves says
nothing about the target, and is not asked. The arithmetic that makes a confidence of this is in
scorers/confidence.py and asks no model.

CLEAR: arXiv:2403.12776; the confidence is BSDetector's, arXiv:2308.16175. BSDetector samples with a
prompt that asks for reasoning first; here the prompt is the row's own. Where targets are short, a
reasoned sample is never an exact match, and the entailment model compares a word with an essay.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scorers.arrays import Floats
from scorers.measures.protocols import EntailmentModel, GenerationFailure, Message, OptionModel
from scorers.measures.reflection import ask_reflector, reflection_questions

VERSION = 1  # raised when the same rows and models may give other judgements

OPENING = " \"'`([{“‘«"  # noqa: RUF001 - typographic quotes are meant
CLOSING = " .,;:!?…\"'`)]}”’»"  # noqa: RUF001 - typographic quotes are meant
"""Not among them: signs that change a value, such as the - of -5 or the % of 5%."""


@dataclass(frozen=True, slots=True)
class JudgeRow:
    """A target and the answers that a model gave to the same prompt."""

    prompt_messages: Sequence[Message]
    target: str
    samples: Sequence[str]
    """Whole or cut off at a token limit; an empty one is left out of the comparison."""


@dataclass(frozen=True, slots=True)
class JudgementRow:
    """What was said of one target; k comparable samples. All null unless the state is "ok"."""

    state: Literal["ok", "truncated", "failed", "not_applicable"]
    detail: str | None = None  # why the state is not "ok", or how many samples were left out
    contradiction_forward: list[float] | None = None
    """(k,) probability that the sample denies the target, the target read first."""
    contradiction_backward: list[float] | None = None  # (k,) the same, the sample read first
    exact_match: list[bool] | None = None
    """(k,) whether sample and target are equal by `normalise_answer`."""
    reflection: list[list[float]] | None = None
    """(2, 3) for each wording the probabilities of reflection.ANSWERS; each row sums to 1."""
    reflection_mass: list[float] | None = None
    """(2,) probability that the three options had together; near 0 the model said other things."""


def judge_answers(
    rows: Sequence[JudgeRow],
    entailment: EntailmentModel,
    reflector: OptionModel,
    fits: Callable[[Sequence[Message]], bool] | None = None,
) -> list[JudgementRow]:
    """Compare each target with its samples, and ask the reflector about it.

    A sample that equals its target is not shown to the entailment model: its contradiction is 0.

    Args:
        rows: n targets.
        entailment: says how likely one text contradicts another.
        reflector: the model that is being tuned, asked whether the target is right.
        fits: whether the reflector can read a question; by default it can read all.

    Returns:
        n judgements, aligned with the rows. "not_applicable": the target is empty. "truncated": the
        question about it does not fit. "failed": there is no sample to compare with, or one of the
        models gave no number; the detail says why where the model does.
    """
    problems = [_problem(row) or _misfit(row, fits) for row in rows]
    sound = [row for row, problem in zip(rows, problems, strict=True) if problem is None]
    judged = iter(_judge_sound(sound, entailment, reflector))
    return [problem or next(judged) for problem in problems]  # the sound ones, in their order


def normalise_answer(text: str) -> str:
    """What is left of an answer when typing does not count.

    Unicode NFC, case folded, runs of blanks as one, opening quotes and brackets off the front,
    closing ones and sentence marks off the end. Text of nothing else is kept as it is.
    """
    folded = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text).casefold()).strip()
    return folded.lstrip(OPENING).rstrip(CLOSING) or folded  # "?" alone is an answer too


def _problem(row: JudgeRow) -> JudgementRow | None:
    if not row.target.strip():
        return JudgementRow("not_applicable", "the target is empty")
    if not _usable(row):
        return JudgementRow("failed", f"none of {len(row.samples)} samples is usable")
    return None


def _misfit(row: JudgeRow, fits: Callable[[Sequence[Message]], bool] | None) -> JudgementRow | None:
    if fits is None or all(map(fits, reflection_questions(row.prompt_messages, row.target))):
        return None
    return JudgementRow("truncated", "prompt and target are too long for the reflector")


def _usable(row: JudgeRow) -> list[str]:
    return [sample for sample in row.samples if sample.strip()]


def _judge_sound(
    rows: Sequence[JudgeRow], entailment: EntailmentModel, reflector: OptionModel
) -> list[JudgementRow]:
    samples = [_usable(row) for row in rows]
    matches = [
        [normalise_answer(sample) == normalise_answer(row.target) for sample in usable]
        for row, usable in zip(rows, samples, strict=True)
    ]
    forward, backward = _contradictions(rows, samples, matches, entailment)
    asked = ask_reflector([(row.prompt_messages, row.target) for row in rows], reflector)
    found = zip(rows, forward, backward, matches, asked.probabilities, asked.mass, strict=True)
    return [_silence(asked.failures.get(at)) or _judgement(*each) for at, each in enumerate(found)]


def _silence(failure: GenerationFailure | None) -> JudgementRow | None:
    """The state of a target that the reflector gave no reply about."""
    if failure is None:
        return None
    return JudgementRow(failure.state, f"the reflector: {failure.reason}, {failure.detail}")


def _contradictions(
    rows: Sequence[JudgeRow],
    samples: Sequence[Sequence[str]],
    matches: Sequence[Sequence[bool]],
    entailment: EntailmentModel,
) -> tuple[list[list[float]], list[list[float]]]:
    """Both orders for every sample, 0 for those that match; in two calls for all rows."""
    # Sample k of row `at`: those whose answer is not known to be the target itself.
    differ = [(at, k) for at, row in enumerate(matches) for k, same in enumerate(row) if not same]
    targets = [rows[at].target for at, _ in differ]
    answers = [samples[at][k] for at, k in differ]
    forward = [[0.0] * len(row_matches) for row_matches in matches]
    backward = [[0.0] * len(row_matches) for row_matches in matches]
    # (2m,): each pair with the target as premise, then each with the sample as premise.
    asked = entailment.contradiction(targets + answers, answers + targets)
    for place, (at, k) in enumerate(differ):
        forward[at][k] = float(asked[place])
        backward[at][k] = float(asked[len(differ) + place])
    return forward, backward


def _judgement(
    row: JudgeRow,
    forward: list[float],
    backward: list[float],
    matches: list[bool],
    reflection: Floats,
    mass: Floats,
) -> JudgementRow:
    if not np.isfinite([*forward, *backward]).all():
        return JudgementRow("failed", "the entailment model gave no number")
    if not np.isfinite(reflection).all():
        return JudgementRow("failed", "the reflector chose none of the options")
    left_out = len(row.samples) - len(matches)
    detail = f"{left_out} of {len(row.samples)} samples left out: empty" if left_out else None
    return JudgementRow(
        "ok", detail, forward, backward, matches, reflection.tolist(), mass.tolist()
    )
