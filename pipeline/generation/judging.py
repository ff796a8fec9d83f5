"""Judges of makers: what they are asked, and what they reply: yes, no, or something else."""

import re
from collections.abc import Generator, Sequence
from typing import TypeAlias

from pipeline.generation.maker import Ask, CallKind, CallPlace, Unread, Wanted, read_whole
from pipeline.measuring.measures.samples import Sampled

VERDICT_TOKENS = 16
"""New tokens of a judge's reply: a word, and what some say around it."""

Judging: TypeAlias = Generator[Wanted, Sequence[Sampled], tuple[list[CallPlace], bool | Unread]]
"""A judge at work: what it was asked, and its verdict."""

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


def ask_yes_or_no(stage: str, question: str, retries: int) -> Judging:
    """Ask a judge until it says one of the two words, at most so many times more.

    The likeliest reply is asked for first. It would be the same again, so then it is drawn.
    """
    asked: list[CallPlace] = []
    verdict: bool | Unread = Unread("unparsed")
    messages = [{"role": "user", "content": question}]
    for attempt in range(1 + retries):
        kind: CallKind = "retry" if attempt else "judge"
        ask = Ask(stage, attempt, messages, float(attempt > 0), VERDICT_TOKENS, kind)
        (reply,) = yield Wanted([ask])
        asked.append(ask.place)
        verdict = read_yes_or_no(reply)
        if not isinstance(verdict, Unread):
            break
    return asked, verdict
