"""The finaliser of splitmix64: a hash of numbers, where a generator would need a state.

Steele et al. 2014, doi:10.1145/2660193.2660195. Whoever asks for the hash of a number gets the same
one on every device and in any company.
"""

from torch import Tensor


def signed(number: int) -> int:
    """The number with the same 64 bits that is below 2^63: torch has no unsigned arithmetic."""
    return (number + 2**63) % 2**64 - 2**63


GOLDEN = signed(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: multiples of it lie far apart
FACTORS = (signed(0xBF58476D1CE4E5B9), signed(0x94D049BB133111EB))


def mix(numbers: Tensor) -> Tensor:
    """Every bit of the result depends on every bit of the int64 number; products wrap around."""
    for shift, factor in zip((30, 27), FACTORS, strict=True):
        numbers = (numbers ^ shift_right(numbers, shift)) * factor
    return numbers ^ shift_right(numbers, 31)


def shift_right(numbers: Tensor, by: int) -> Tensor:
    """Fill with zeros from the left, where torch would repeat the sign."""
    return (numbers >> by) & ((1 << (64 - by)) - 1)
