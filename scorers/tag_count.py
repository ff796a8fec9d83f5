"""Tag count: how many different things a prompt asks for.

    tag_count_i = | tags_i |

tags_i are the tags that a model gave the prompt of row i, by the names they have in the pool and
without those that are rare in it. 0: all of its tags are rare ones. Higher is kept first: more
things asked for are taken for a more complex prompt.

It is for the step `instag`, which picks by it and by which tags are new: InsTag's complexity. Not
for a ranking by itself: it follows the length of the prompt, for long prompts have more to tag, and
it says nothing of the response. Compare with the length-matched control. It counts; the cost is
that of `measure.tags`, a short list that a model writes for each prompt.

Lu et al. 2023, "#InsTag: Instruction Tagging for Analyzing Supervised Fine-tuning of Large Language
Models", arXiv:2308.07074.
"""

import numpy as np

from scorers.arrays import Floats


def score_tag_count(tag_count: Floats) -> Floats:
    """Score each example by the number of its prompt's tags.

    Args:
        tag_count: (n,) tags of each row, 0 or more.

    Returns:
        (n,) the same. NaN where the tags are missing.

    Raises:
        ValueError: if a number is negative.
    """
    if (tag_count < 0).any():
        raise ValueError(f"a number of tags is 0 or more, got {np.nanmin(tag_count):g}")
    return tag_count.astype(np.float64)
