"""Screen a training set for harmful rows: how many must be read, and what the reading proves.

    n(p) = ceil(log(1 - C) / log(1 - p))            rows to read, none bad, to show at most p bad
    u = (q + z^2/2n + z sqrt(q (1 - q)/n + z^2/4n^2)) / (1 + z^2/n),   q = bad / n

C is the confidence and z its one-sided normal quantile; u is Wilson's upper bound of the share of
bad rows. At 95 % that is 299 rows for 1 %, and 1,497 for 0.2 %. A source passes if u is at most
0.2 %, is warned of up to 1 %, and blocks above: in the paper 1 % of misaligned rows among clean
ones already made a model less honest, while its capability benchmarks stayed flat or rose. So no
benchmark stands in for reading.

Rows are drawn for each source by a seeded hash of their id: a stricter demand reads more rows and
the same ones again. The most suspicious rows are read beside them, but the estimate leaves them
out: they were chosen for being bad. Suspicious is a low confidence, a bad mark (a low one, unless
the block of its ratings has `better: low`), or a response that its prompt makes less likely (ifd
above 1); a row is as suspicious as its worst signal. What no
signal sees is found by the random rows alone. A source that was read whole has no bound but its
share. Costs no model; n readings for each source.

Emergent misalignment: arXiv:2510.08211. Wilson 1927. What ratio harms was measured on two models of
7 and 8 billion parameters and three kinds of harm; the gate is no proof for another.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.ranking.order import sort_rows
from pipeline.selection.methods.random import random_keys
from scorers.arrays import Floats, Ints, Strings, require_same_length

PASS_AT_MOST = 0.002
WARN_AT_MOST = 0.01

Gate = Literal["pass", "warn", "block"]
SignalKind = Literal["low", "high", "above_1"]
"""What of a signal is suspicious: low values, high ones, or those above 1."""

SIGNALS: Mapping[str, SignalKind] = {
    "confidence": "low",
    "rating": "low",
    "ifd": "above_1",
    "ifd_perplexity": "above_1",
}
"""Scorer → what of it is suspicious; of a rating the recipe may say the opposite."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the rows that were read say of a source."""

    source: str
    rows: int
    to_review: int
    """Rows drawn at random."""
    reviewed: int
    bad: int
    share: float | None
    """Bad of those reviewed; None where none was."""
    upper: float
    """The share is at most this, at the confidence asked for."""
    gate: Gate


def rows_to_review(at_most: float, confidence: float) -> int:
    """How many rows must be read, and none be bad, to show that at most so many are.

    Args:
        at_most: share of bad rows to be ruled out, above 0 and below 1.
        confidence: above 0 and below 1.

    Raises:
        ValueError: if one is out of range.
    """
    if not 0 < at_most < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"a share and a confidence are between 0 and 1, got {at_most}, {confidence}"
        )
    return math.ceil(math.log1p(-confidence) / math.log1p(-at_most))  # log1p: shares are small


def wilson_upper(bad: int, reviewed: int, confidence: float) -> float:
    """Upper bound of a share, one-sided.

    Args:
        bad: of those reviewed.
        reviewed: at random; with none the bound is 1.
        confidence: above 0 and below 1.

    Raises:
        ValueError: if more are bad than were reviewed.
    """
    if not 0 <= bad <= reviewed:
        raise ValueError(f"{bad} bad of {reviewed} reviewed")
    if not reviewed:
        return 1.0
    from scipy.stats import binomtest

    found = binomtest(bad, reviewed, alternative="less")
    return float(found.proportion_ci(confidence, method="wilson").high)


def gate_of(upper: float) -> Gate:
    """What a bound means for a training."""
    return "pass" if upper <= PASS_AT_MOST else "warn" if upper <= WARN_AT_MOST else "block"


def estimate_source(
    source: str, rows: int, to_review: int, verdicts: tuple[int, int], confidence: float
) -> Estimate:
    """Estimate the share of bad rows in a source.

    Args:
        source: its path.
        rows: of it in the selection.
        to_review: of those, drawn at random.
        verdicts: random rows reviewed so far, and how many of them are bad.
        confidence: above 0 and below 1.
    """
    reviewed, bad = verdicts
    whole = 0 < rows <= reviewed  # then the share is known, and nothing is left to estimate
    upper = bad / rows if whole else wilson_upper(bad, reviewed, confidence)
    share = bad / reviewed if reviewed else None
    return Estimate(source, rows, to_review, reviewed, bad, share, upper, gate_of(upper))


def draw_for_review(ids: Strings, sources: Strings, per_source: int, seed: int) -> Ints:
    """Draw rows of each source at random.

    Args:
        ids: (n,) distinct example ids.
        sources: (n,) the source of each.
        per_source: how many; a smaller source is drawn whole.
        seed: 0 or more.

    Returns:
        (k,) rows, by source, and within it in the order drawn.
    """
    require_same_length(ids=ids, sources=sources)
    names = np.asarray(sources, dtype=np.str_)
    keys = random_keys(ids, seed, "screen")  # of all rows once: a row's key is its own
    drawn = [np.empty(0, dtype=np.int64)]  # where there is no source, there is something to join
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        drawn.append(rows[sort_rows(keys[rows], ids[rows])[:per_source]])
    return np.concatenate(drawn)


def rank_suspects(
    signals: Mapping[str, tuple[Floats, SignalKind]], ids: Strings
) -> tuple[Ints, Strings]:
    """Order rows by their worst signal.

    Args:
        signals: name → values (n,), NaN where there is none, and what of them is suspicious.
        ids: (n,) distinct example ids; the lower one comes first in a tie.

    Returns:
        (m,) the rows that any signal speaks of, the most suspicious first; and (n,) the name of the
        worst signal of each row, "" where there is none.
    """
    from scipy.stats import rankdata

    worst, why = np.full(len(ids), np.inf), np.full(len(ids), "", dtype=object)
    for name, (values, kind) in sorted(signals.items()):  # of equal places the first name stands
        speaks = ~np.isnan(values) & ((values > 1) | (kind != "above_1"))
        said = values[speaks] if kind == "low" else -values[speaks]  # lowest is most suspicious
        places = np.full(len(ids), np.inf)
        # Share of the scored rows that are more suspicious: signals of any unit compare by it.
        places[speaks] = (rankdata(said, "min") - 1) / max(1, np.count_nonzero(~np.isnan(values)))
        worse = places < worst
        worst[worse], why[worse] = places[worse], name
    rows = np.flatnonzero(np.isfinite(worst))
    return rows[sort_rows(worst[rows], ids[rows])], why
