"""What a model wrote: whether it declines, says anything, and can be understood by itself."""

import re
from collections.abc import Sequence

import numpy as np

from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fixed_text
from scorers.refusal_phrases import score_refusal_phrases
from scorers.words import split_words

SHORT_APOLOGY = 80
"""Words below which an answer that is sorry is a refusal, as in WizardLM (arXiv:2304.12244)."""

FUNCTION_WORDS = frozenset(
    split_words(
        """a about after all also an and any are as at be been but by can could did do does for from
        had has have he her his how i if in into is it its may me more most my no not of on or our
        she should so some such than that the their them then there these they this to was we were
        what when which who will with would you your"""
    )
)
"""Words that say nothing by themselves; of English alone."""

SPEAKS_OF_PASSAGE = re.compile(
    r"\b(?:the|this|that|above|given|following|provided)\s+"
    r"(?:passage|text|document|excerpt|section|paragraph|context|article)s?\b",
    re.IGNORECASE,
)
"""What nobody knows who sees the question alone; of English."""


def refuses(text: str) -> bool:
    """Whether a text has a phrase that declines, or says that it comes from a machine."""
    return bool(score_refusal_phrases(np.array([text], dtype=object))[0] < 0)


def is_refusal(answer: str) -> bool:
    """Whether an answer is a short one that declines, or is sorry."""
    words = split_words(answer)
    return len(words) < SHORT_APOLOGY and ("sorry" in words or refuses(answer))


def has_no_content(text: str) -> bool:
    """Whether a text is signs and function words alone."""
    return FUNCTION_WORDS.issuperset(split_words(text))


def fault_of_wording(text: str, prompts: Sequence[str], *, alone: bool = True) -> str:
    """Why a question, an answer or tags go; "" where they stay.

    Args:
        text: what was written.
        prompts: that asked for it.
        alone: whether it must be understood by who has not seen the passage.
    """
    if has_no_content(text):
        return "no_content"
    if refuses(text):
        return "refusal"
    if alone and SPEAKS_OF_PASSAGE.search(text):
        return "speaks_of_passage"
    shown = [piece for name in prompts for piece in fixed_text(name)]
    return "repeats_prompt" if repeats_shown(text, shown) else ""
