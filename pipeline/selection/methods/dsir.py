"""DSIR: a sample of the rows whose words are distributed like those of the targets.

    log w_i = sum over n-grams g of row i of  log (p_target(b(g)) + e) - log (p_raw(b(g)) + e)
    picks   = the k highest log w_i + G_i,  G_i = -log(-log u_i),  u_i uniform by seed and id

The n-grams are words and pairs of words, b(g) is one of 10,000 buckets by a hash, p the share of a
bucket among all n-grams of the targets, or of the rows that reach the step; e is 1e-8. Adding a
Gumbel number to each and taking the highest draws without replacement in proportion to the weights:
it is a sample, and not the head of the ranking, so that rare rows of the kind wanted stay possible.
u_i is a hash of seed and id, so that neither the order of rows nor the others change it.

For a target that has a vocabulary of its own, such as code, law or another language, and a pool too
large for a model to read: it needs none. The evidence is from pre-training; of instructions nothing
is published. Not for targets that differ in what is asked and not in words. Nor as it is for pools
with rows of very different length: log w grows with the number of n-grams, so long rows stand at
both ends, and a few dozen targets leave most buckets empty, which rules out rows by single words.
`per_ngram` takes the mean instead, and `smoothing` can be raised. It costs two readings of the
texts and no model.

Xie et al. 2023, "Data Selection for Language Models via Importance Resampling", arXiv:2302.03169.
The released code drops texts of fewer than 100 words, of which an instruction set loses most, and
cuts words otherwise; here none is dropped, and words are those of pipeline/text/shingles.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.ranking.budget import Budget, within_budget
from pipeline.ranking.order import rank_by_score
from pipeline.ranking.outcome import Outcome, account_for
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.methods.random import random_keys
from pipeline.selection.step import RankStep, own_note
from pipeline.text.shingles import Shingling, hash_shingles
from scorers.arrays import Floats, Ints, Strings, require_same_length
from storage.conversations import TextField

TEXTS_AT_ONCE = 10_000

N_GRAMS = (1, 2)


@dataclass(frozen=True, slots=True)
class NGramWeights:
    """How n-grams are counted, and become the weight of a row."""

    buckets: int = 10_000
    smoothing: float = 1e-8
    per_ngram: bool = False


@dataclass(frozen=True, slots=True)
class _Counted:
    """The buckets of the n-grams of some texts."""

    rows: Ints  # (g,) which text each is of, from `start` on
    buckets: Ints  # (g,)


def count_ngrams(texts: Sequence[str], buckets: int) -> Iterator[_Counted]:
    """The n-grams of texts, some texts at a time."""
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        for n in N_GRAMS:
            found = hash_shingles(texts[start : start + TEXTS_AT_ONCE], Shingling("words", n))
            rows = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts)) + start
            yield _Counted(rows, (found.hashes % np.uint64(buckets)).astype(np.int64))


def bucket_shares(texts: Sequence[str], buckets: int) -> Floats:
    """(buckets,) the share of each among the n-grams of all texts; 0 of no text."""
    total = np.zeros(buckets, dtype=np.int64)
    for counted in count_ngrams(texts, buckets):
        total += np.bincount(counted.buckets, minlength=buckets)
    shares: Floats = total / max(1, int(total.sum()))
    return shares


def log_weights(texts: Sequence[str], targets: Sequence[str], rule: NGramWeights) -> Floats:
    """(n,) the log weight of each text towards the targets; NaN of one without a word.

    Raises:
        ValueError: if no target has a word.
    """
    wanted = bucket_shares(targets, rule.buckets)
    if not wanted.any():
        raise ValueError("dsir: no target has a word to compare rows by")
    given = bucket_shares(texts, rule.buckets)
    of_bucket = np.log(wanted + rule.smoothing) - np.log(given + rule.smoothing)
    weights, counts = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
    for counted in count_ngrams(texts, rule.buckets):
        # bincount adds up in the order given: a row's sum depends on no other row
        weights += np.bincount(counted.rows, of_bucket[counted.buckets], len(texts))
        counts += np.bincount(counted.rows, minlength=len(texts))
    weights[counts == 0] = np.nan
    return weights / np.maximum(counts, 1) if rule.per_ngram else weights


def gumbel(ids: Strings, seed: int) -> Floats:
    """(n,) a standard Gumbel number for each example, by seed and id."""
    uniform = (random_keys(ids, seed, "dsir") >> np.uint64(11)).astype(np.float64) + 0.5
    drawn: Floats = -np.log(-np.log(uniform / 2.0**53))  # strictly between 0 and 1
    return drawn


def select_dsir(
    weights: Floats,
    ids: Strings,
    budget: Budget,
    loss_tokens: Ints | None = None,
    own: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Outcome:
    """Draw rows in proportion to their weights, as far as the budget goes.

    Args:
        weights: (n,) logarithms; a row without one (NaN) is out as "no_score".
        ids: (n,) distinct example ids; the draw is a hash of seed and id.
        budget: The limit; rows beyond it are "over_budget".
        loss_tokens: (n,) response tokens; needed for a budget in loss tokens.
        own: (n,) rows that are targets, or answers to their prompts: out as "is_target".
        seed: 0 or more.

    Returns:
        The picks in the order drawn; values are the log weights.

    Raises:
        ValueError: if lengths differ, or a weight is infinite.
    """
    require_same_length(weights=weights, ids=ids)
    own = np.zeros(len(ids), dtype=np.bool_) if own is None else own
    keys = np.where(own, np.nan, weights + gumbel(ids, seed))
    picks = within_budget(rank_by_score(keys, ids), budget, len(ids), loss_tokens)
    reasons = np.full(len(ids), "over_budget", dtype=object)
    reasons[np.isnan(weights)] = "no_score"
    reasons[own] = "is_target"
    reasons[picks] = ""
    return account_for(picks, reasons, weights)


class DSIR(RankStep):
    """DSIR: a sample of rows whose words are those of the targets (arXiv 2302.03169)."""

    method: Literal["dsir"]
    of: TextField = Field(default="both", description="The text whose words are counted.")
    buckets: int = Field(default=10_000, gt=1, description="That n-grams are hashed into.")
    smoothing: float = Field(
        default=1e-8, gt=0, description="Added to every share; more for few targets."
    )
    per_ngram: bool = Field(
        default=False,
        description="Divide the weight of a row by its number of n-grams, so that long rows are "
        "not at both ends.",
    )

    def compares_targets(self) -> bool:
        """By their words."""
        return True

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Weigh and draw."""
        rule = NGramWeights(self.buckets, self.smoothing, self.per_ngram)
        targets = rows.pool.texts_of(self.of, rows.pool.target_ids)
        weights = log_weights(rows.texts(self.of), targets, rule)
        own, budget = rows.are_targets(), self.budget.budget()
        outcome = select_dsir(weights, rows.ids, budget, rows.loss_tokens, own, seed)
        return replace(outcome, notes=own_note(int(own.sum())))
