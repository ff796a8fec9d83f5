"""Judges of makers: what they are asked, and what they reply: yes, no, or something else."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from pipeline.generation.maker import Ask, CallKind, CallPlace, Unread, Wanted, read_whole
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import AnswerForm, OneOf

T = TypeVar("T")

ONE_WORD = OneOf(("yes", "no"))
"""The form of such a reply, where the model can be held to it."""

VERDICT_TOKENS = 16
"""New tokens of a judge's reply: a word, and what some say around it."""

Judging: TypeAlias = Generator[Wanted, Sequence[Sampled], tuple[list[CallPlace], bool | Unread]]
"""A judge at work: what it was asked, and its verdict."""

JudgingAll: TypeAlias = Generator[
    Wanted, Sequence[Sampled], dict[str, tuple[list[CallPlace], bool | Unread]]
]
"""The same of several stages."""

YES_OR_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


def read_yes_or_no(reply: Sampled) -> bool | Unread:
    """The one of the two words that a reply has, as often as it likes; with both it says neither.

    "not really" and "I know it is not" have none of them: what they mean is not guessed at.
    """
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    said = {found.casefold() for found in YES_OR_NO.findall(text)}
    return said == {"yes"} if len(said) == 1 else Unread("unparsed")


def fault_of_verdict(verdict: bool | Unread) -> str:
    """Why what a judge was asked about goes; "" where the judge says yes."""
    if isinstance(verdict, Unread):
        return "unparsed_verdict"
    return "" if verdict else "wrong_answer"


def ask_yes_or_no(stage: str, question: str, retries: int) -> Judging:
    """Ask a judge until it says one of the two words, at most so many times more."""
    told = yield from ask_together({stage: question}, retries)
    return told[stage]


def ask_together(questions: Mapping[str, str], retries: int) -> JudgingAll:
    """Ask a judge several things, each until it says one of the two words; see ask_yes_or_no."""
    told = yield from ask_until_read(
        questions, retries, read_yes_or_no, form=ONE_WORD, tokens=VERDICT_TOKENS
    )
    return told


def ask_until_read(
    questions: Mapping[str, str],
    retries: int,
    read: Callable[[Sampled], T | Unread],
    *,
    form: AnswerForm,
    tokens: int,
) -> Generator[Wanted, Sequence[Sampled], dict[str, tuple[list[CallPlace], T | Unread]]]:
    """Ask a judge several things, each until its reply can be read, at most so many times more.

    The likeliest reply is asked for first. It would be the same again, so then it is drawn.

    Args:
        questions: stage → what is asked.
        retries: how often more, of each.
        read: what a reply says.
        form: of replies.
        tokens: new ones of a reply at most.

    Returns:
        Stage → what was asked, and what the last reply said.
    """
    told: dict[str, tuple[list[CallPlace], T | Unread]] = {
        stage: ([], Unread("unparsed")) for stage in questions
    }
    for attempt in range(1 + retries):
        kind: CallKind = "retry" if attempt else "judge"
        asks = [
            Ask(
                stage,
                attempt,
                [{"role": "user", "content": questions[stage]}],
                float(attempt > 0),
                tokens,
                kind,
                form=form,
            )
            for stage, (_, verdict) in told.items()
            if isinstance(verdict, Unread)
        ]
        if not asks:
            break
        replies = yield Wanted(asks)
        for ask, reply in zip(asks, replies, strict=True):
            asked, _ = told[ask.stage]
            told[ask.stage] = ([*asked, ask.place], read(reply))
    return told
