"""How much of a selection another one has too, and how much chance alone would give.

    expected = k * m / n

k and m are the rows of the two, n the rows both could choose from. A selection that shares with its
random control what chance gives is independent of it, as it should be.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two selections side by side."""

    other: str
    """What the other one is."""
    rows: int
    """Of the other one."""
    shared: int
    expected: float | None
    """Rows that chance would share; None where the two did not choose from the same rows."""


def measure_overlap(other: str, chosen: set[str], others: set[str], pool: int | None) -> Overlap:
    """Count what two selections share; `pool` is how many rows both chose from."""
    expected = len(chosen) * len(others) / pool if pool else None
    return Overlap(other, len(others), len(chosen & others), expected)
