"""Prompt-response similarity: whether the answer is about what was asked.

    R_i = cos(e(prompt_i), e(response_i))

e are sentence embeddings of the two texts, each by itself. Near 1: they say much the same; near 0:
they have nothing to do with each other, as where answers were exchanged among prompts.

Higher is kept first. Use it to find answers of other prompts: the lowest share of it to be read or
dropped, not a ranking, for what is nearest to its prompt repeats it. Not for prompts that name no
subject ("Continue.", "Translate into French:"), nor where a prompt and a right answer share few
words. It costs the two embeddings, which deduplication needs too, and asks no other model.

The cosine of two sentence embeddings is Reimers and Gurevych 2019, arXiv:1908.10084; to hold a
prompt against its answer by it is ours.
"""

import numpy as np

from scorers.arrays import Floats, require_same_length, unit


def score_prompt_response_similarity(
    prompt_embedding: Floats, response_embedding: Floats
) -> Floats:
    """Score each example by the cosine of its two texts.

    Args:
        prompt_embedding: (n, d) vectors of the prompts; NaN where there is none.
        response_embedding: (n, d) vectors of the responses, by the same model.

    Returns:
        (n,) cosine, -1 to 1. NaN where a vector is missing or has no direction.

    Raises:
        ValueError: if the columns differ in length, or the vectors in theirs.
    """
    require_same_length(prompt_embedding=prompt_embedding, response_embedding=response_embedding)
    if prompt_embedding.shape != response_embedding.shape:
        raise ValueError(
            f"vectors of one model are compared, got shapes {prompt_embedding.shape} and "
            f"{response_embedding.shape}"
        )
    products = unit(prompt_embedding) * unit(response_embedding)
    cosines: Floats = np.clip(products.sum(axis=-1), -1.0, 1.0)  # rounding can go just above 1
    return cosines
