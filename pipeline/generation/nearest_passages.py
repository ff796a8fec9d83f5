r"""Nearest passages: which passages a question is answered from, by the words that they share.

    w(t, d) = (1 + log count of t in d) log((1 + n) / (1 + documents with t)) + 1)

The nearest have the highest cosine of these weights with the question's, of n passages in all; of
equal ones the one that is first by its id. Words are those of scorers/words.py, so scripts without
spaces are compared by characters. A passage that shares no word with a question is never near.
TF-IDF of scikit-learn.
"""

from collections.abc import Sequence

import numpy as np

from scorers.words import split_words


class PassageIndex:
    """Passages that can be asked which of them are near a question."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Count the words of the passages, which are in the order of their ids."""
        # Here, for it takes a second, and every recipe reads this module.
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(analyzer=split_words, sublinear_tf=True)
        self._weights = (
            self._vectorizer.fit_transform(texts) if any(map(split_words, texts)) else None
        )

    def nearest(self, question: str, count: int) -> list[int]:
        """Places of the passages nearest to a question, the nearest first; at most so many."""
        if self._weights is None:
            return []
        alike = (self._weights @ self._vectorizer.transform([question]).T).toarray().ravel()
        order = np.argsort(-alike, kind="stable")[:count]
        return [int(at) for at in order if alike[at] > 0]
