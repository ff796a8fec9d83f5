"""What a model was shown: whether its answer gives that back, and so would teach it to be said."""

import re
from collections.abc import Sequence

from scorers.words import runs_of, split_words

REPEATED_WORDS = 8
"""Words in a row of what was shown that an answer may not have."""

OF_THE_HINT = re.compile(
    r"\b(?:reference|provided|given|gold|expected)\s+(?:answer|solution|response)\b"
    r"|\baccording to the (?:reference|hint)\b|\bhint\b|\(correct\)",
    re.IGNORECASE,
)
"""What says that the answer was known before: a reader of the row has seen none."""


def speaks_of_hint(text: str, prompt: str = "") -> bool:
    """Whether a text speaks of an answer that was shown, in words that its prompt does not have."""
    asked = prompt.casefold()
    return any(found[0].casefold() not in asked for found in OF_THE_HINT.finditer(text))


def repeats_shown(text: str, shown: Sequence[str], words: int = REPEATED_WORDS) -> bool:
    """Whether so many words in a row of a text stand in one of those that were shown."""
    said = {*runs_of(split_words(text), words)}
    return any(not said.isdisjoint(runs_of(split_words(each), words)) for each in shown)
