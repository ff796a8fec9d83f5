"""Shared word n-grams: runs of n words that stand in an item and in a row.

    any       a row matches where it shares one n-gram with the part of the item
    coverage  share = words of the part that shared n-grams cover / words that its n-grams cover;
              a row matches at or above a threshold

The parts are an item's prompt, its answer, and the overlap: the n-grams that cross from the prompt
into the answer. Each is matched by itself, anywhere in the turns of a row. The similarity of a
match is its share under either rule; higher is more of the item.

What it is for: copies, and quotations of n words or more. It misses short texts (short.py), and
with exact numbers texts in which numbers were changed; `numbers: any` looks past those. An n-gram
that many items of one set share is the wording of that set, a template, and no evidence.

Of n words is also an n-gram of Chinese, Japanese, Thai, Lao, Burmese or Khmer that says as much:
13 words are 23 Han characters, 52 kana or 65 characters of Thai, which scorers/words.py measures.
Signs count for equality and not for length.

Cost: linear in words. The n-grams of the items are held in memory, rows are read in blocks. A
64-bit hash proposes and the words themselves decide, so no match is one of hashes alone. The result
does not depend on the order of rows or the size of blocks.

The 13-gram rule is that of Brown et al. 2020, arXiv:2005.14165, appendix C.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.contamination.texts import MATCHED, Item, ItemMatch, Matched, Numbers, RowBlock
from pipeline.contamination.texts import plain_words as split_plain
from pipeline.contamination.windows import (
    WordIds,
    find_owners,
    is_first,
    longest_run,
    shared_by_many,
)
from pipeline.text.compared_words import word_weights
from pipeline.text.word_windows import count_added, hash_windows, window_ends
from scorers.arrays import Floats, Ints
from scorers.words import WORD

PARTS = len(MATCHED)
UNKNOWN = 0  # the number of every word that no item has; no n-gram with it can be shared
PAIRS_AT_ONCE = 1 << 16  # whose words are in memory together
SPARSENESS_BITS = 5  # 2^5 places of the table for each n-gram: it lets 1 foreign one of 32 through
MAXIMUM_TABLE_BITS = 26  # 64 MB


@dataclass(frozen=True, slots=True)
class NGramRule:
    """What counts as a match."""

    words: int = 13
    threshold: float | None = None  # share that must be covered; None: one shared n-gram is enough
    compare: Sequence[Matched] = MATCHED
    numbers: Numbers = "exact"
    shared_by: int = 20  # an n-gram that more items of one set share is no evidence

    @property
    def name(self) -> str:
        """What the rule is called in hits and reports."""
        numbers = ", any numbers" if self.numbers == "any" else ""
        rule = "any" if self.threshold is None else f"coverage {self.threshold:g}"
        return f"{self.words}-grams, {rule}{numbers}"


@dataclass(frozen=True, slots=True)
class _Texts:
    """Texts as numbers of words, end to end."""

    ids: WordIds
    starts: Ints  # (t + 1,) where each begins


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Shared n-grams: one entry for each place in a row and each place in an item."""

    rows: Ints
    codes: Ints  # item times PARTS, plus the number of the part
    item_places: Ints
    row_places: Ints

    def at(self, indices: Ints | slice) -> "_Pairs":
        """Some of the pairs."""
        return _Pairs(
            self.rows[indices],
            self.codes[indices],
            self.item_places[indices],
            self.row_places[indices],
        )


class NGramMatcher:
    """An index of the items' n-grams."""

    def __init__(self, items: Sequence[Item], rule: NGramRule) -> None:
        """Index items.

        Raises:
            ValueError: if the rule is out of range.
        """
        if rule.words < 1 or rule.shared_by < 1 or not set(rule.compare) <= set(MATCHED):
            raise ValueError(f"words and shared_by must be 1 or more, parts of {MATCHED}: {rule}")
        if rule.threshold is not None and not 0 < rule.threshold <= 1:
            raise ValueError(f"threshold is a share, above 0 and at most 1, got {rule.threshold}")
        self._settings = rule
        self._numbers: dict[str, int] = {}
        self._texts = self._number([text for item in items for text in (item.prompt, item.answer)])
        self._names = ["", *self._numbers]  # words count from 1
        # What a word that no item has would weigh makes no difference: no n-gram with it is shared.
        self._weights = np.concatenate(([WORD], word_weights(self._numbers)))
        self._weight_before = measure_text(self._texts.ids, self._weights)
        self._words_before = measure_text(self._texts.ids, np.minimum(self._weights, 1))
        self._item_starts = self._texts.starts[::2]  # (m + 1,) each item is two texts
        self.template_ngrams = 0  # n-grams left out because too many items share them
        self._index(np.array([item.evaluation for item in items], dtype=np.int64))

    @property
    def rule(self) -> str:
        """See Matcher.rule."""
        return self._settings.name

    @property
    def checked(self) -> Mapping[Matched, NDArray[np.bool_]]:
        """See Matcher.checked."""
        # Codes are item times PARTS plus part: every PARTS-th entry is of the same part.
        return {part: self._coverable[number::PARTS] > 0 for number, part in enumerate(MATCHED)}

    def _number(self, texts: Sequence[str]) -> _Texts:
        """Number the words of the items' texts, new ones as they come."""
        numbers, flat, starts = self._numbers, array("q"), array("q", [0])
        for text in texts:
            for word in split_plain(text, self._settings.numbers):
                flat.append(numbers.setdefault(word, len(numbers) + 1))
            starts.append(len(flat))
        return _Texts(np.frombuffer(flat, np.int64), np.frombuffer(starts, np.int64))

    def _index(self, evaluations: Ints) -> None:
        """Sort the n-grams of the parts that are compared by hash."""
        texts, weights = self._texts, self._weights[self._texts.ids]
        self._ends = window_ends(weights, self._item_starts, self._settings.words)
        indices = np.flatnonzero(self._ends >= 0)
        hashes = hash_windows(texts.ids, indices, self._ends[indices])
        items = find_owners(self._item_starts)[indices]
        boundaries = texts.starts[1::2][items]  # where the answer begins
        # 0: it ends before the answer; 1: it begins in it; 2: it crosses over, as in MATCHED.
        part = np.where(self._ends[indices] <= boundaries, 0, np.where(indices >= boundaries, 1, 2))
        wanted = np.isin(part, [MATCHED.index(name) for name in self._settings.compare])
        indices, hashes, items, part = indices[wanted], hashes[wanted], items[wanted], part[wanted]
        order = np.argsort(hashes, kind="stable")  # by hash, item and place
        hashes, indices = hashes[order], indices[order]
        items, codes = items[order], (items * PARTS + part)[order]
        common = shared_by_many(hashes, items, evaluations, self._settings.shared_by)
        self.template_ngrams = len(np.unique(hashes[common]))
        kept = ~common & is_first(hashes, codes)  # a repeat within a part tells nothing new
        self._hashes, self._places, self._codes = hashes[kept], indices[kept], codes[kept]
        order = np.argsort(self._places)  # and so by code: parts follow each other
        covered = self._covered(self._codes[order], self._places[order])
        size = PARTS * len(evaluations)
        self._coverable = np.bincount(self._codes[order], covered, minlength=size)  # words
        self._ngrams = np.bincount(self._codes, minlength=size)
        # Which high bits of a hash occur at all: most n-grams of rows need no binary search.
        bits = min(len(self._hashes).bit_length() + SPARSENESS_BITS, MAXIMUM_TABLE_BITS)
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, dtype=bool)
        self._table[self._hashes >> self._shift] = True

    def find(self, block: RowBlock) -> list[ItemMatch]:
        """See Matcher.find."""
        get, flat, turns = self._numbers.get, array("q"), array("q", [0])
        for row in block.rows:
            for turn in row:
                words = split_plain(turn.text, self._settings.numbers)
                flat.extend(map(get, words, repeat(UNKNOWN)))
                turns.append(len(flat))
        ids, turn_starts = np.frombuffer(flat, np.int64), np.frombuffer(turns, np.int64)
        row_turns = np.cumsum([0, *map(len, block.rows)])  # (n + 1,) a row's first turn
        pairs = self._shared(_Texts(ids, turn_starts[row_turns]))
        if not len(pairs.rows):
            return []

        def locate(row: int, place: int) -> WordPlace:
            turn = int(np.searchsorted(turn_starts, place, side="right")) - 1
            number = turn - int(row_turns[row])
            role, text = block.rows[row][number]
            before = split_plain(text, self._settings.numbers)[: place - int(turn_starts[turn])]
            return WordPlace(number, role, int(np.count_nonzero(word_weights(before))))

        return self._matches(pairs, locate)

    def _covered(self, groups: Ints, places: Ints) -> Ints:
        """How much text of the items each n-gram adds; sorted by group and place."""
        before = self._weight_before
        return count_added(groups, before[places], before[self._ends[places]])

    def _shared(self, rows: _Texts) -> _Pairs:
        """Every n-gram that a row shares with an item, compared word by word."""
        owners = find_owners(rows.starts)
        unknown = np.concatenate(([0], np.cumsum(rows.ids == UNKNOWN)))  # before each place
        ends = window_ends(self._weights[rows.ids], rows.starts, self._settings.words)
        indices = np.flatnonzero(ends >= 0)
        # no unknown word in between
        indices = indices[unknown[ends[indices]] == unknown[indices]]
        hashes = hash_windows(rows.ids, indices, ends[indices])
        likely = self._table[hashes >> self._shift]
        indices, hashes = indices[likely], hashes[likely]
        first = np.searchsorted(self._hashes, hashes, side="left")
        counts = np.searchsorted(self._hashes, hashes, side="right") - first
        # (p,) each n-gram as often as it has entries, and which of them: 0, 1, ... from its first
        found = np.repeat(np.arange(len(indices)), counts)
        step = np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts)
        entries = first[found] + step
        sizes = ends[indices] - indices
        same = self._same_words(rows.ids, indices[found], sizes[found], self._places[entries])
        found, entries = found[same], entries[same]
        pairs = _Pairs(
            owners[indices[found]], self._codes[entries], self._places[entries], indices[found]
        )
        return pairs.at(np.lexsort((pairs.row_places, pairs.item_places, pairs.codes, pairs.rows)))

    def _same_words(
        self, ids: WordIds, row_places: Ints, sizes: Ints, item_places: Ints
    ) -> NDArray[np.bool_]:
        """(p,) whether the n-gram at a place in the rows is that at a place in the items."""
        same: NDArray[np.bool_] = sizes == self._ends[item_places] - item_places
        for size in np.unique(sizes[same]).tolist():  # one, unless there are signs or characters
            words, alike = np.arange(size), np.flatnonzero(same & (sizes == size))
            for start in range(0, len(alike), PAIRS_AT_ONCE):
                part = alike[start : start + PAIRS_AT_ONCE]
                ours = ids[row_places[part][:, None] + words]  # (pairs, size)
                theirs = self._texts.ids[item_places[part][:, None] + words]
                same[part] = (ours == theirs).all(axis=1)
        return same

    def _matches(self, pairs: _Pairs, locate: "Locate") -> list[ItemMatch]:
        """The pairs of each row and part, judged by the rule; `pairs` are sorted."""
        first = is_first(pairs.rows, pairs.codes)
        groups = np.cumsum(first) - 1  # (p,) numbers of row and part, from 0
        distinct = is_first(groups, pairs.item_places)  # a place of the item counts once
        each, places = groups[distinct], pairs.item_places[distinct]
        covered = np.bincount(each, self._covered(each, places))
        ngrams = np.bincount(each)
        bounds = np.append(np.flatnonzero(first), len(pairs.rows))
        shares: Floats = covered / self._coverable[pairs.codes[first]]
        least = self._settings.threshold or 0.0
        return [
            self._match(pairs.at(slice(*bounds[g : g + 2])), shares[g], int(ngrams[g]), locate)
            for g in np.flatnonzero(shares >= least - 1e-9)  # 0.7 is no float: 7 of 10 are enough
        ]

    def _match(self, pairs: _Pairs, share: float, ngrams: int, locate: "Locate") -> ItemMatch:
        """One row and part, with the longest run of words they share as evidence."""
        row, code = int(pairs.rows[0]), int(pairs.codes[0])
        item, part = divmod(code, PARTS)
        turns = self._words_before[pairs.item_places]
        first, last, row_place = longest_run(pairs.item_places, pairs.row_places, turns)
        words = self._texts.ids[first : self._ends[last]]
        turn, role, word = locate(row, row_place)
        before = self._words_before
        evidence = {
            "words": " ".join(self._names[number] for number in words),
            "length": int(before[self._ends[last]] - before[first]),  # words, no signs
            "item_word": int(before[first] - before[self._item_starts[item]]),
            "turn": turn,
            "role": role,
            "turn_word": word,
            "ngrams": ngrams,
            "of_ngrams": int(self._ngrams[code]),
        }
        return ItemMatch(row, item, MATCHED[part], self.rule, round(float(share), 6), evidence)


def measure_text(ids: WordIds, weights: Ints) -> Ints:
    """(m + 1,) the weight of the text before each of m words, and of all of it."""
    return np.concatenate(([0], np.cumsum(weights[ids])))


class WordPlace(NamedTuple):
    """Where a word stands in a row."""

    turn: int
    role: str
    word: int  # place in the turn


Locate = Callable[[int, int], WordPlace]
"""Row and place among the words of a block → where that is in the row."""
