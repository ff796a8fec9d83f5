"""How diverse texts are: how alike pairs of them are, and how many word pairs come once."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

from pipeline.text.word_overlap import overlap_of
from scorers.words import split_words

MOST_PAIRS = 2000


def diversity(texts: Sequence[str]) -> dict[str, object]:
    """How alike pairs of texts are, and which share of word pairs comes once."""
    words = [split_words(text) for text in texts]
    pairs = [pair for each in words for pair in pairwise(each)]
    all_pairs = [*combinations(range(len(words)), 2)]
    drawn = np.random.default_rng(0).permutation(len(all_pairs))[:MOST_PAIRS]
    alike = [overlap_of(words[all_pairs[at][0]], words[all_pairs[at][1]]).f for at in drawn]
    return {
        "texts": len(texts),
        "mean ROUGE-L F of pairs": round(float(np.mean(alike)), 3) if alike else None,
        "distinct word pairs": round(len({*pairs}) / len(pairs), 3) if pairs else None,
    }
