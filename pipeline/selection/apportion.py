"""Shares in whole numbers: weights → rows or tokens that add up to the budget exactly.

    p_i proportional to n_i^(1/T);  part_i = floor(p_i B), and one more for the largest remainders

n_i is the size of group i, T a temperature, B the budget; for the sources see shares.py. Arithmetic
is in fractions, so a tie is a tie; it goes to the name that comes first.
"""

from collections.abc import Mapping
from fractions import Fraction

Weights = Mapping[str, Fraction]
"""Group → what it weighs against the others, 0 or more."""


def temperature_weights(sizes: Mapping[str, int], temperature: float) -> dict[str, Fraction]:
    """Weigh groups by their size to the power of 1 / temperature.

    Args:
        sizes: group → rows or tokens, 0 or more.
        temperature: above 0; infinite: all that have anything weigh the same.

    Returns:
        Group → weight; together 1, or all 0 where every group is empty.

    Raises:
        ValueError: if the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"a temperature must be above 0, got {temperature}")
    largest = max(sizes.values(), default=0)
    # Relative to the largest group, for a low temperature is a high power; of 1 no power is taken.
    relative = {name: Fraction(size, largest or 1) for name, size in sizes.items()}
    powers = {
        # 0 ** 0 is 1: at an infinite temperature an empty group would weigh as much as any
        name: Fraction(float(size) ** (1 / temperature)) if size and temperature != 1 else size
        for name, size in relative.items()
    }
    whole = sum(powers.values())
    return {name: power / whole if whole else power for name, power in powers.items()}


def quota_weights(
    sizes: Mapping[str, int], quotas: Mapping[str, float], temperature: float, others: str
) -> dict[str, Fraction]:
    """Weigh groups by quotas, and those without one by what the quotas leave.

    Args:
        sizes: group → rows or tokens.
        quotas: some of the groups → share.
        temperature: of the groups without a quota.
        others: "share", or "drop" where they get nothing.

    Returns:
        Group → weight.
    """
    given = {name: Fraction(str(share)) for name, share in quotas.items()}  # 0.1 is a tenth
    rest = {name: size for name, size in sizes.items() if name not in given}
    left = Fraction(0) if others == "drop" else 1 - sum(given.values(), Fraction(0))
    shared = temperature_weights(rest, temperature)
    return {name: given[name] if name in given else left * shared[name] for name in sorted(sizes)}


def largest_remainders(weights: Weights, total: int) -> dict[str, int]:
    """Share out a whole number in proportion to weights; the parts add up to it exactly.

    Args:
        weights: group → weight; not all 0 unless total is.
        total: 0 or more.

    Returns:
        Group → its part. Equal fractions: the name that comes first gets more.

    Raises:
        ValueError: if there is something to share and nothing to share it by.
    """
    whole = sum(weights.values(), Fraction(0))
    if not whole:
        if total:
            raise ValueError(f"{total} cannot be shared out: every weight is 0")
        return dict.fromkeys(weights, 0)
    exact = {name: weight / whole * total for name, weight in weights.items()}
    parts = {name: int(share) for name, share in exact.items()}
    left = total - sum(parts.values())  # fewer than there are groups
    # The key is minus the remainder, so that the largest comes first.
    for name in sorted(exact, key=lambda name: (parts[name] - exact[name], name))[:left]:
        parts[name] += 1
    return parts


def share_out(weights: Weights, holds: Mapping[str, int], total: int) -> dict[str, int]:
    """Share out a budget among groups, none getting more than it holds.

    Groups that hold less than their share are taken whole; what they leave is shared out among the
    others by the same weights.

    Returns:
        Group → its part; together the budget, or all that groups with a weight hold.
    """
    parts = dict.fromkeys(weights, 0)
    open_groups = {name: weight for name, weight in weights.items() if weight and holds[name]}
    left = min(total, sum(holds[name] for name in open_groups))
    while open_groups:  # each round closes a group or is the last
        whole = sum(open_groups.values())
        full = [
            name for name, weight in open_groups.items() if weight / whole * left >= holds[name]
        ]
        if not full:
            return parts | largest_remainders(open_groups, left)
        for name in full:
            parts[name] = holds[name]
            del open_groups[name]
        left -= sum(holds[name] for name in full)
    return parts


def take_turns(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Put the picks of groups in one order, each group's spread evenly over it.

    Returns:
        (group, its pick, from 0), all of them; the groups' own orders are kept.
    """
    turns = [
        (Fraction(2 * pick + 1, 2 * count), name, pick)  # the middle of the pick's equal share
        for name, count in counts.items()
        for pick in range(count)
    ]
    return [(name, pick) for _, name, pick in sorted(turns)]
