import numpy as np
import pytest

from scorers.prompt_response_similarity import score_prompt_response_similarity


def test_the_cosine_of_the_two_texts() -> None:
    prompt = np.array([[1.0, 0.0], [3.0, 4.0], [1.0, 0.0]])
    response = np.array([[2.0, 0.0], [4.0, 3.0], [0.0, 5.0]])
    # Lengths make no difference: (3 * 4 + 4 * 3) / (5 * 5) = 0.96
    assert score_prompt_response_similarity(prompt, response) == pytest.approx([1, 0.96, 0])


def test_no_vector_or_no_direction_is_no_score() -> None:
    prompt = np.array([[np.nan, np.nan], [0.0, 0.0], [1.0, 1.0]])
    found = score_prompt_response_similarity(prompt, np.ones((3, 2)))
    assert np.isnan(found).tolist() == [True, True, False] and found[2] == pytest.approx(1)


def test_vectors_of_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="expected columns of one length"):
        score_prompt_response_similarity(np.ones((2, 3)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="vectors of one model"):
        score_prompt_response_similarity(np.ones((2, 3)), np.ones((2, 4)))
