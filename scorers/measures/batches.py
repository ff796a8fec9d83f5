"""Texts of like length in batches, so that little of a padded batch is padding."""

from collections.abc import Sequence


def batches_of_like_length(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Indices of texts in batches of at most so many tokens when padded; too long a one is alone.

    Args:
        lengths: (n,) tokens of each text.
        most_tokens: in a batch, padding included.
    """
    batches: list[list[int]] = []
    # Ascending, so the next is the longest of its batch, and what the others are padded to.
    for at in sorted(range(len(lengths)), key=lambda at: lengths[at]):
        if batches and lengths[at] * (len(batches[-1]) + 1) <= most_tokens:
            batches[-1].append(at)
        else:
            batches.append([at])
    return batches
