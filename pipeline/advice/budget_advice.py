"""What published experiments say about a budget of labels: advice, with its source, never a rule.

    n_sft = a n;   n_pairs = (1 - a) n / r          n rows would all of the money buy, a the share
    n_weak = floor((B - n_strong) / c)              B, in strong labels; c, price of a weak one

r is the price of a preference pair in rows. Advice is marked "extrapolated" where its numbers are
ours and only its direction is the paper's: borders differ from task to task, and none of them was
tried here. Use it to choose what to try, and a trial to decide.

- SFT or preferences: arXiv:2502.11284. Under about 1,000 rows all SFT; above, a growing share of
  preferences. No SFT at all is a cold start.
- Many weak labels or few strong ones: arXiv:2410.13215. Small budgets are better spent on
  quantity, large ones on quality, between them on both, the weak labels first.
- How many rows at all: arXiv:2306.05539. A model that is tuned on instructions already needs few.
"""

from dataclasses import dataclass

import numpy as np

SFT_OR_PREFERENCES = "arXiv:2502.11284"
QUANTITY_OR_QUALITY = "arXiv:2410.13215"
QUICK_LEARNERS = "arXiv:2306.05539"

ALL_SFT_BELOW = 1000
MOSTLY_PREFERENCES_FROM = 5000
ALL_WEAK_TO = 64
ALL_STRONG_FROM = 1024
WEAK_PRICE = 0.1
LEAST_SFT_ROWS = 100  # unless the share is 0, which stays a choice


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice."""

    text: str
    source: str
    extrapolated: bool

    def __str__(self) -> str:
        """As a line, with its source."""
        return f"{self.text} ({self.source}{', extrapolated' if self.extrapolated else ''})"


UNKNOWN_ROWS = Advice(
    "the budget is not in rows: --rows-affordable says how many the money would buy, for "
    "advice on preferences; under about 1,000 labelled rows spend all of it on SFT",
    SFT_OR_PREFERENCES,
    extrapolated=False,
)
FIRST_ROWS = Advice(
    "starting from an instruction-tuned model, try 1,000 rows of one task, or 200 of each of "
    "many: that is where a 3B model met earlier results trained on all; rewriting and titles "
    "got worse",
    QUICK_LEARNERS,
    extrapolated=False,
)


@dataclass(frozen=True, slots=True)
class TuningSplit:
    """One way to spend a budget."""

    sft_share: float
    sft_rows: int
    preference_pairs: int


@dataclass(frozen=True, slots=True)
class LabelSplit:
    """Labels to buy; the weak ones are trained on first."""

    weak: int
    strong: int


def sft_shares(rows: int) -> tuple[float, ...]:
    """Shares of a budget, worth so many rows, to try on SFT; the rest goes to preferences."""
    if rows < ALL_SFT_BELOW:
        return (1.0,)
    return (0.5, 0.6, 0.75) if rows < MOSTLY_PREFERENCES_FROM else (0.1, 0.175, 0.25)


def split_tuning(rows: int, sft_share: float, price_ratio: float) -> TuningSplit:
    """Turn a share of the money into rows and pairs; what they cost never exceeds it.

    Args:
        rows: that all of the money would buy.
        sft_share: from 0 to 1.
        price_ratio: of a preference pair, in rows.

    Raises:
        ValueError: if a share or price is out of range.
    """
    if not 0 <= sft_share <= 1 or not price_ratio > 0:
        raise ValueError(f"expected a share and a price above 0, got {sft_share}, {price_ratio}")
    sft = min(rows, max(round(rows * sft_share), LEAST_SFT_ROWS if sft_share else 0))
    return TuningSplit(sft_share, sft, int((rows - sft) / price_ratio))  # a part of a pair is none


def split_labels(budget: int, strong: int, weak_price: float = WEAK_PRICE) -> LabelSplit:
    """Buy weak labels with what strong ones leave.

    Args:
        budget: in strong labels.
        strong: how many of them, at most the budget.
        weak_price: of a weak label, in strong ones.

    Raises:
        ValueError: if a number is out of range.
    """
    if not 0 <= strong <= budget or not weak_price > 0:
        raise ValueError(f"expected 0 to {budget} strong labels at a price above 0, got {strong}")
    # Rounded first: (7 - 6) / 0.1 is 9.999999999999998 in some orders of arithmetic.
    return LabelSplit(int(np.floor(round((budget - strong) / weak_price, 9))), strong)


def strong_shares(budget: int) -> tuple[float, float]:
    """The least and the most of a budget, in strong labels, to spend on strong ones."""
    if budget <= ALL_WEAK_TO:
        return 0.0, 0.0
    return (1.0, 1.0) if budget >= ALL_STRONG_FROM else (0.2, 0.6)


def advise(rows: int | None, price_ratio: float | None = None) -> list[Advice]:
    """Advice for money that buys so many rows, `price_ratio` for a pair; None: not known."""
    if rows is None:
        return [FIRST_ROWS, UNKNOWN_ROWS]
    return [tuning_advice(rows, price_ratio or 1.0), label_advice(rows), FIRST_ROWS]


def tuning_advice(rows: int, price_ratio: float) -> Advice:
    """How much of it to keep for preferences."""
    shares = sft_shares(rows)
    if len(shares) == 1:
        text = f"{rows:,} rows: spend all on SFT; preferences pay off from about 1,000 rows on"
        return Advice(text, SFT_OR_PREFERENCES, extrapolated=False)
    splits = [split_tuning(rows, share, price_ratio) for share in shares]
    listed = "; ".join(f"{s.sft_rows:,} rows and {s.preference_pairs:,} pairs" for s in splits)
    text = (
        f"money for {rows:,} rows, a preference pair costing {price_ratio:g}: compare {listed}. "
        "Do not leave SFT out: preferences alone start cold where a format or steps are wanted"
    )
    return Advice(text, SFT_OR_PREFERENCES, extrapolated=True)


def label_advice(budget: int) -> Advice:
    """Which labels to buy, if there are cheap ones."""
    least, most = strong_shares(budget)
    if most == 0:
        kind = "all of it on weak labels"
    elif least == 1:
        kind = "all of it on strong labels"
    else:
        low, high = (split_labels(budget, round(budget * share)) for share in (least, most))
        kind = (
            f"between {low.strong:,} strong and {low.weak:,} weak labels and {high.strong:,} and "
            f"{high.weak:,}, the weak ones trained first"
        )
    text = (
        f"if weak labels cost a tenth: of {budget:,} strong labels' money, {kind}; a larger model "
        "needs fewer strong ones. Hold out a fifth to stop early, and try two examples in the "
        "prompt first"
    )
    return Advice(text, QUANTITY_OR_QUALITY, extrapolated=True)
