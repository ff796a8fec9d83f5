"""Exact copies: texts that are equal once what is not to matter is taken away.

What is taken away is said by `ignore`:

    nothing               equal means equal, character by character
    whitespace            any run of white space is one space, and none stands at the ends
    case-and-punctuation  texts are equal if their words are, one by one (shingles.py says what a
                          word is; signs that calculate are words)

What it is for: the same prompt asked of several sources, the same answer to several prompts; on one
text alone, where the conversation as a whole differs. Equal conversations are one example from the
start. When not to use it: on `prompt`, where several answers to a prompt are wanted to choose from
(grape and clear compare them); on `response` of data whose right answers are short, where "Yes."
answers many different questions.

Cost: every text is read once, about a microsecond a word for words and less for the others.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.dedupe.clusters import keep_order
from pipeline.dedupe.step import DedupeStep
from pipeline.ranking.outcome import Outcome, account_for, no_causes, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.text.shingles import shingle_words
from scorers.arrays import Floats, Strings, require_same_length
from storage.conversations import TextField

Ignore = Literal["nothing", "whitespace", "case-and-punctuation"]

SEPARATOR = "\0"  # in no word, so that "ab c" and "a bc" stay apart
TEXTS_AT_ONCE = 1 << 16  # what is in memory; a hash of 16 bytes is all that stays of each

FORMS: Mapping[Ignore, Callable[[str], str]] = {
    "nothing": lambda text: text,
    "whitespace": lambda text: " ".join(text.split()),
    "case-and-punctuation": lambda text: SEPARATOR.join(shingle_words(text)),
}
"""What is left of a text; equal texts are those of which the same is left."""


def digest_texts(texts: Sequence[str], ignore: Ignore) -> list[bytes]:
    """(n,) a hash of what is left of each text; empty where nothing is."""
    form = FORMS[ignore]
    forms = (form(text).encode("utf-8", "surrogatepass") for text in texts)
    return [blake2b(left, digest_size=16).digest() if left else b"" for left in forms]


def remove_exact(digests: Sequence[bytes], keep_scores: Floats, ids: Strings) -> Outcome:
    """Keep the best of each set of rows with equal texts.

    Args:
        digests: (n,) equal for equal texts. An empty one is no copy of anything, and is kept.
        keep_scores: (n,) of the copies the highest one stays; NaN counts as lowest.
        ids: (n,) distinct example ids; the lowest one wins a tie.

    Returns:
        The rows kept, in keep order. The others are "exact_duplicate" of `because_of`; the value
        is 1.

    Raises:
        ValueError: if lengths differ, or a keep score is infinite.
    """
    require_same_length(keep_scores=keep_scores, ids=ids, digests=np.array(digests, dtype=object))
    n = len(digests)
    reasons, because_of, value = no_reasons(n), no_causes(n), np.full(n, np.nan)
    first: dict[bytes, int] = {}  # digest → the best row with it, for rows come best first
    order = keep_order(keep_scores, ids)
    for row in order.tolist():
        best = first.setdefault(digests[row], row) if digests[row] else row
        if best != row:
            reasons[row], because_of[row], value[row] = "exact_duplicate", best, 1.0
    return account_for(order[reasons[order] == ""], reasons, value, because_of)


class Exact(DedupeStep):
    """Exact copies: the same text, but for what is to be ignored."""

    method: Literal["exact"]
    text: TextField = Field(default="both", description="The text that is compared.")
    ignore: Ignore = Field(
        default="whitespace",
        description="What may differ: nothing; how much white space; or all but the words.",
    )

    def label(self) -> str:
        """Method, text and what may differ."""
        return f"exact on {self.text}, ignoring {self.ignore}"

    def remove(self, rows: Candidates, keep_scores: Floats) -> Outcome:
        """Compare whole texts."""
        ids, digests = rows.ids, list[bytes]()
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            names = ids[start : start + TEXTS_AT_ONCE].tolist()
            digests += digest_texts(rows.pool.texts_of(self.text, names), self.ignore)
        return remove_exact(digests, keep_scores, ids)
