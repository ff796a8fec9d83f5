"""How a judge divides its belief between six marks, about every user turn and every reply.

    p_tk = P(the judge's reply about turn t begins with mark k) / mass      k from 1 to 6

Two questions are asked of each turn of a conversation: how complex is what the user asked, read
alone, and how good is the reply to it. `deita` makes a score of the two. As in DEITA's code neither
question shows the turns before, so that "and in Java?" is rated as it stands. One mark that cannot
be had leaves the whole row without ratings: a sum over the other turns would be the number of
another conversation.

DEITA (arXiv:2312.15685) has a judge of its own for each question, a model trained to reply with a
mark, under fixed wordings. The questions here are in our own words, for any model that can follow
one; for the released judges give their wordings as templates. Their code asks one turn at a time
and has two tokens written; here all turns of a shard are asked together and nothing is written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from scorers.measures.protocols import Message, OptionModel
from scorers.measures.ratings import MARKS, QUALITY, RatedRow, RatingRow, rate_answers

VERSION = 1  # raised when the same rows, questions and models may give other ratings

COMPLEXITY = """\
Below is a request that somebody made.

Request:
{prompt}

How much does it ask for? Consider how many things must be done or kept to, how much must be known
and how far one has to think. 1 means that anybody could answer it at once, 6 that an expert would
have to work on it.
Reply with one number from 1 to 6 only."""

QUESTIONS = {"complexity": COMPLEXITY, "quality": QUALITY}
"""What is asked where no template is given."""


@dataclass(frozen=True, slots=True)
class TurnJudge:
    """A model and the question it is asked about each turn."""

    template: str  # with `{prompt}` and `{response}` where they belong
    model: OptionModel
    fits: Callable[[Sequence[Message]], bool] | None = None
    """Whether the model can read a question; by default it can read all."""


@dataclass(frozen=True, slots=True)
class TurnRatings:
    """What was said of the t turns of one example. All null unless the state is "ok"."""

    state: Literal["ok", "truncated", "failed"]
    detail: str | None = None  # why the state is not "ok", and of which turn
    complexity: list[list[float]] | None = None
    """(t, 6) of the marks from 1 to 6; each turn's sum to 1."""
    complexity_mass: list[float] | None = None
    """(t,) probability that the marks had together, in [0, 1]."""
    quality: list[list[float]] | None = None  # (t, 6)
    quality_mass: list[float] | None = None  # (t,)


def rate_turns(
    conversations: Sequence[Sequence[RatedRow]], complexity: TurnJudge, quality: TurnJudge
) -> list[TurnRatings]:
    """Ask both judges about every turn.

    Args:
        conversations: n conversations as their turns: what the user said, and the reply.
        complexity: asked about the user's part.
        quality: asked about the reply.

    Returns:
        n ratings, aligned with the conversations. Where a mark of a turn cannot be had, the state
        is that of the first such turn.

    Raises:
        ValueError: if a judge cannot tell the marks apart.
    """
    # All turns in a row, in one call for each judge; dealt back by the numbers of turns.
    turns = [turn for conversation in conversations for turn in conversation]
    harder, better = (
        iter(rate_answers(turns, judge.template, MARKS, judge.model, judge.fits))
        for judge in (complexity, quality)
    )
    return [_combine([*islice(harder, n)], [*islice(better, n)]) for n in map(len, conversations)]


def _combine(complexity: Sequence[RatingRow], quality: Sequence[RatingRow]) -> TurnRatings:
    """The ratings of one conversation's turns, or the first problem among them."""
    for turn, pair in enumerate(zip(complexity, quality, strict=True), start=1):
        for question, rated in zip(QUESTIONS, pair, strict=True):
            if rated.state != "ok":
                where = f"{question} of turn {turn} of {len(quality)}"
                return TurnRatings(rated.state, f"{where}: {rated.detail}")
    return TurnRatings(
        "ok",
        None,
        [rated.probabilities or [] for rated in complexity],
        [rated.mass or 0.0 for rated in complexity],
        [rated.probabilities or [] for rated in quality],
        [rated.mass or 0.0 for rated in quality],
    )
