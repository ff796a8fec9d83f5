"""A response to an instruction, and how right it is: what a correctness model learns from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GradedPair:
    """One training row."""

    instruction: str
    response: str
    label: float  # 1 for a reference, 0 for a response of another row; in [0, 1]
