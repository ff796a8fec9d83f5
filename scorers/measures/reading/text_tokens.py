"""Token ids of many texts, and of their beginnings without tokenising those again.

A conversation, the conversation without its answer, and that without the assistant's header are
beginnings of one text. Where a beginning ends between two tokens of the whole, the whole's tokens
before that place are its own: no merge crosses the place, and those before it are made alike. Only
what a tokenizer does with blanks looks ahead; so the tokens between the last control token and the
place are compared with those that they are at an end. Control tokens are cut out before all else.

Where that cannot be shown the beginning is tokenised too, and the ids are those of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from scorers.measures.reading.prefix_tree import shared_length

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

MOST_TAIL = 16
"""Tokens between a control token and the end of a beginning that are looked at."""


@dataclass(frozen=True, slots=True)
class TokenisedText:
    """A text as its tokenizer cuts it."""

    ids: list[int]
    places: Encoding | None
    """Which characters each token is of; None where that is not known. It is asked: to list the
    places of all tokens takes as long as a quarter of the tokenising."""


class TextTokens:
    """The tokens of texts, each tokenised once, as many as can be together."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, add_special_tokens: bool) -> None:
        self.tokenizer = tokenizer
        self._add_special_tokens = add_special_tokens
        self.special = special_ids(tokenizer)
        self._read: dict[str, TokenisedText] = {}
        self._beginnings: dict[tuple[str, str], int | None] = {}

    def read(self, texts: Iterable[str]) -> None:
        """Tokenise texts that were not read before, in one call."""
        new = [text for text in dict.fromkeys(texts) if text not in self._read]
        if not new:
            return
        found = self.tokenizer(
            new,
            add_special_tokens=self._add_special_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        # Tokens that are added stand at no place of a text; a slow tokenizer has no places.
        known = found.encodings if found.encodings and not self._add_special_tokens else ()
        places = known or [None] * len(new)
        for text, ids, place in zip(new, found["input_ids"], places, strict=True):
            self._read[text] = TokenisedText(ids, place)

    def ids(self, text: str, whole: str) -> list[int]:
        """The ids of a text, which may be the beginning of one that was read."""
        count = self.beginning(whole, text)
        if count is not None:
            return self._read[whole].ids[:count]
        self.read([text])
        return self._read[text].ids

    def shared(self, one: str, other: str, whole: str) -> int:
        """How many leading tokens two texts have in common."""
        counts = self.beginning(whole, one), self.beginning(whole, other)
        if counts[0] is not None and counts[1] is not None:
            return min(counts[0], counts[1])
        return shared_length(self.ids(one, whole), self.ids(other, whole))

    def beginning(self, whole: str, text: str) -> int | None:
        """How many of the first tokens of a text that was read are those of its beginning.

        Returns:
            None where the beginning has to be tokenised to know its ids.
        """
        found = self._beginnings.get((whole, text), -1)
        if found == -1:  # not asked before
            found = self._beginnings[whole, text] = self._find_beginning(whole, text)
        return found

    def _find_beginning(self, whole: str, text: str) -> int | None:
        ids, places = self._read[whole].ids, self._read[whole].places
        if text == whole:
            return len(ids)
        if not whole.startswith(text) or places is None:
            return None
        count = places.char_to_token(len(text))  # the first of its tokens, where it has several
        if not count:
            return None  # nothing stands before the place
        if span_of(places, count)[0] < len(text) or span_of(places, count - 1)[1] > len(text):
            return None  # a token stands across it
        control = self._last_control(ids, count)
        if control is None:
            return None
        tail = text[span_of(places, control)[1] :]
        alone = tail_ids(self.tokenizer, ids[control], tail)
        return count if alone == tuple(ids[control + 1 : count]) else None

    def _last_control(self, ids: Sequence[int], count: int) -> int | None:
        """Index of the last control token among the first ones; None if it is far back."""
        for index in range(count - 1, max(count - 2 - MOST_TAIL, -1), -1):
            if ids[index] in self.special:
                return index
        return None


def span_of(places: Encoding, index: int) -> tuple[int, int]:
    """The character of its text that a token begins with, and the one behind it."""
    return places.token_to_chars(index) or (-1, -1)  # one that stands at none of them


@lru_cache(maxsize=4)  # looked up for every row
def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids of the control tokens: those that the tokenizer names, and others it marks as special."""
    marked = (number for number, token in tokenizer.added_tokens_decoder.items() if token.special)
    return frozenset(tokenizer.all_special_ids).union(marked)


@lru_cache(maxsize=1024)  # a template has few ends
def tail_ids(tokenizer: PreTrainedTokenizerBase, control: int, tail: str) -> tuple[int, ...] | None:
    """Ids of what ends a text behind a control token; None where they are not to be told apart."""
    text = str(tokenizer.convert_ids_to_tokens(control)) + tail
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return tuple(ids[1:]) if ids[:1] == [control] else None
