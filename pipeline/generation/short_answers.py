"""Short answers of models: where one ends, which are the same, which is the most frequent."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pipeline.generation.maker import Unread
from pipeline.measuring.measures.samples import Sampled
from pipeline.selection.methods.correct_answer import CURRENCIES
from pipeline.text.final_answer import final_answer, same_answer
from scorers.measures.protocols import GeneratedAnswer
from scorers.words import split_words

Compare = Literal["words", "final_answer"]
"""How an answer is compared with the given one: it has all its words in a row, or ends alike."""

SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[\u3002\uff01\uff1f]|\n")  # and those of Chinese


def read_beginning(reply: Sampled) -> str | Unread:
    """A reply up to the end of its first sentence, though it was cut off; "" where it is blank."""
    if not isinstance(reply, GeneratedAnswer):
        return Unread(reply.reason)
    text = reply.text.strip()
    ending = SENTENCE_END.search(text)
    return text[: ending.start()] if ending else text


def says_same(said: str, given: str, compare: Compare) -> bool:
    """Whether what a model said has the given answer, or ends on the same."""
    if compare == "final_answer":
        mine, trusted = final_answer(said), final_answer(given)
        return mine is not None and trusted is not None and same_answer(mine, trusted, CURRENCIES)
    words, wanted = split_words(said), split_words(given)
    starts = range(len(words) - len(wanted) + 1)
    return any(words[start : start + len(wanted)] == wanted for start in starts)


def most_frequent(texts: Sequence[str]) -> str:
    """The answer given most often; of equal ones the shortest, then the first by letter."""
    counts = Counter(map(same_words, texts))
    return min(texts, key=lambda text: (-counts[same_words(text)], len(text), text))


def same_words(text: str) -> str:
    """What answers with the same words have in common."""
    return " ".join(split_words(text))
