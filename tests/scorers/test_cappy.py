import numpy as np
import pytest

from pipeline.selection.methods.grape import select_best_candidates
from scorers.cappy import score_cappy


def test_is_the_models_output_unclipped() -> None:
    given = np.array([-0.2, 0.5, 1.3, np.nan])
    np.testing.assert_array_equal(score_cappy(given), given)


def test_ranks_the_candidates_of_a_prompt_whatever_their_order() -> None:
    values = np.array([0.2, 1.4, 0.9, -0.3])
    ids, responses = np.array(list("abcd")), np.array(["p", "q", "r", "s"])
    rng = np.random.default_rng(0)
    for order in [np.arange(4), *(rng.permutation(4) for _ in range(5))]:
        scores = score_cappy(values[order])
        prompts = np.array(["x"] * 4)
        picked = select_best_candidates(scores, prompts, responses[order], ids[order])
        assert ids[order][picked.indices].tolist() == ["b"]


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        score_cappy(np.array([np.inf]))
