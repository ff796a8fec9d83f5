"""Short items: prompts of fewer words than an n-gram has, found where they are the same.

    a match: the words of a user's turn are those of the item's prompt, in order, none more

Words are those of deduplication (pipeline/text/compared_words.py): case and punctuation do not
matter, numbers and signs do, so "What is 7 - 2?" is not "What is 7 + 2?". The answer is
not looked at: a short prompt with another answer is a leak as well. An item that is short as a
whole, its answer included, is found too where both stand in one turn. The similarity is 1.

What it is for: what n-grams cannot see. It misses a short prompt within a longer turn, and finds
common short prompts ("Say hello.") that nobody copied; read the hits before rows are removed.
Cost: one look at the first words of each turn.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.contamination.texts import MATCHED, Item, ItemMatch, Matched, RowBlock
from pipeline.text.compared_words import compared_words, first_words, word_weights
from scorers.words import count_words

RULE = "short, the same words"

WordTuple = tuple[str, ...]


class ShortMatcher:
    """Short items by their words."""

    def __init__(self, items: Sequence[Item], words: int) -> None:
        """Index the items whose prompt has fewer words than this."""
        self._texts: dict[WordTuple, list[tuple[int, Matched]]] = {}
        self._short = {part: np.zeros(len(items), dtype=bool) for part in MATCHED}
        for number, item in enumerate(items):
            for part, text in short_texts(item):
                found = tuple(compared_words(text) or text.split())
                if found and count_words(found) < words:
                    self._texts.setdefault(found, []).append((number, part))
                    self._short[part][number] = True
        # One more than any short text has: enough to see that a longer one is none.
        self._enough = 1 + max(map(len, self._texts), default=0)

    @property
    def rule(self) -> str:
        """See Matcher.rule."""
        return RULE

    @property
    def checked(self) -> Mapping[Matched, NDArray[np.bool_]]:
        """See Matcher.checked."""
        return self._short

    def find(self, block: RowBlock) -> list[ItemMatch]:
        """See Matcher.find."""
        return [match for row in range(len(block.rows)) for match in self._find_in(block, row)]

    def _find_in(self, block: RowBlock, row: int) -> Iterator[ItemMatch]:
        """The matches of one row, each item and part once."""
        seen = set()
        for number, turn in enumerate(block.rows[row]):
            if turn.role != "user":
                continue
            words = tuple(first_words(turn.text, self._enough) or turn.text.split()[: self._enough])
            for item, part in self._texts.get(words, ()):
                if (item, part) not in seen:
                    seen.add((item, part))
                    evidence = {
                        "words": " ".join(words),
                        "length": int(np.count_nonzero(word_weights(words))),
                        "item_word": 0,
                        "turn": number,
                        "role": turn.role,
                        "turn_word": 0,
                    }
                    yield ItemMatch(row, item, part, self.rule, 1.0, evidence)


def short_texts(item: Item) -> Iterator[tuple[Matched, str]]:
    """The texts of an item that can be a whole turn: its prompt, and prompt and answer."""
    yield "prompt", item.prompt
    if item.prompt and item.answer:
        yield "overlap", f"{item.prompt}\n{item.answer}"
