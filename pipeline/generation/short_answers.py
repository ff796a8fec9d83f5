"""Short answers of models, sampled: where one ends, which are the same, and the most frequent."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pipeline.generation.maker import Ask, CallPlace, Settled, Unread
from pipeline.measuring.measures.samples import Sampled
from pipeline.selection.methods.correct_answer import CURRENCIES
from pipeline.text.final_answer import final_answer, same_answer
from scorers.measures.protocols import GeneratedAnswer, Message
from scorers.words import split_words, stand_in_a_row
from storage.conversations import Conversation
from storage.examples import Example

Compare = Literal["words", "final_answer"]
"""How an answer is compared with the given one: it has all its words in a row, or ends alike."""

SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[\u3002\uff01\uff1f]|\n")  # and those of Chinese


def ask_samples(
    source: Example, messages: Sequence[Message], count: int, temperature: float, most: int
) -> list[Ask]:
    """Samples of the answer to a question, for a maker that works on all of them together.

    Args:
        source: whose question it is.
        messages: how it is asked.
        count: samples.
        temperature: of each.
        most: new tokens of each.
    """
    return [
        Ask(stage, attempt, messages, temperature, most, tools=source.tools)
        for stage, attempt in sample_places(source, count)
    ]


def sample_places(source: Example, count: int) -> list[CallPlace]:
    """Which calls the samples of a question are."""
    return [(f"sample {source.example_id}", attempt) for attempt in range(count)]


def settle_samples(source: Example, count: int, row: Conversation | None, reason: str) -> Settled:
    """What became of all samples of a question."""
    return Settled(sample_places(source, count), row, reason, [source.example_id])


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
    return stand_in_a_row(split_words(given), split_words(said))


def most_frequent(texts: Sequence[str]) -> str:
    """The answer given most often; of equal ones the shortest, then the first by letter."""
    counts = Counter(map(same_words, texts))
    return min(texts, key=lambda text: (-counts[same_words(text)], len(text), text))


def same_words(text: str) -> str:
    """What answers with the same words have in common."""
    return " ".join(split_words(text))
