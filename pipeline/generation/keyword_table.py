r"""Keywords of a corpus: which words stand how often in its passages, and some drawn by that.

    P(w drawn next) = c(w)^(1/T) / sum of c(v)^(1/T) over the words v that are not drawn yet

c counts a word in all passages. T = 1 draws by frequency, a high T evenly. Words are those of
scorers/words.py, without digits, of three letters or more, and no function words of English; in
scripts without spaces, where a word is a character, there are none.

SciLitLLM: Li et al. 2024, arXiv:2408.15545. Its code draws with replacement, so that a list of 20
has a word twice now and then, and keeps shorter words that are symbols of elements.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.generation.written_text import FUNCTION_WORDS
from scorers.words import split_words
from storage.conversations import content_hash

LEAST_LETTERS = 3


class KeywordTable:
    """The keywords of passages, each with how often it stands there and where most often."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Count the keywords of the passages, which are in the order of their ids."""
        counts: Counter[str] = Counter()
        most: dict[str, tuple[int, int]] = {}
        for at, text in enumerate(texts):
            for word, count in Counter(filter(is_keyword, split_words(text))).items():
                counts[word] += count
                if count > most.get(word, (0, 0))[0]:  # of equals the first stays
                    most[word] = (count, at)
        self.words = sorted(counts)
        self._weights = np.log([counts[word] for word in self.words])
        self._places = {word: at for word, (_, at) in most.items()}

    def draw(self, count: int, temperature: float, lot: Sequence[object]) -> list[str]:
        """So many words, none twice, as far as there are so many.

        Args:
            count: of the words.
            temperature: T.
            lot: what the draw depends on.
        """
        rng = np.random.default_rng(int(content_hash([*lot])[:16], 16))
        # The largest of log weights plus Gumbel noise are a draw without replacement.
        noisy = self._weights / temperature + rng.gumbel(size=len(self.words))
        return [self.words[at] for at in np.argsort(-noisy, kind="stable")[:count]]

    def places(self, words: Sequence[str]) -> list[int]:
        """The passages that have these words most often, each once, in their order."""
        return sorted({self._places[word] for word in words})


def is_keyword(word: str) -> bool:
    """Whether a word may be a keyword."""
    return len(word) >= LEAST_LETTERS and word.isalpha() and word not in FUNCTION_WORDS
