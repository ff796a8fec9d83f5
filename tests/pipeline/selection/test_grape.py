import numpy as np
import pytest

from pipeline.selection.grape import select_best_candidates
from pipeline.selection.picked import Picked

#                  0      1      2      3      4       5        6
PROMPTS = np.array(["q", "q", "q", "p", "p", "alone", "unscored"])
TEXTS = np.array(["a b", "a  b\n", "c", "d", "e", "f", "g"], dtype=object)
SCORES = np.array([-0.5, -0.5, -0.9, -2.0, -1.0, -3.0, np.nan])
IDS = np.array(["6", "5", "4", "3", "2", "1", "0"])


def select(keep: int = 1, require_alternatives: bool = False) -> Picked:
    return select_best_candidates(SCORES, PROMPTS, TEXTS, IDS, keep, require_alternatives)


def test_keeps_the_likeliest_of_each_prompt() -> None:
    picked = select()
    assert list(PROMPTS[picked.indices]) == ["alone", "p", "q"]
    np.testing.assert_array_equal(picked.indices, [5, 4, 1])
    assert list(picked.reasons) == [
        "same_response",  # as row 1, which has the lower id
        "",
        "not_best_candidate",
        "not_best_candidate",
        "",
        "",
        "no_score",
    ]
    np.testing.assert_array_equal(picked.because_of, [1, -1, 1, 4, -1, -1, -1])


def test_an_only_candidate_is_picked_with_a_remark() -> None:
    assert list(select().remarks) == ["", "", "", "", "", "no_alternative", ""]


def test_an_only_candidate_is_out_where_alternatives_are_required() -> None:
    picked = select(require_alternatives=True)
    np.testing.assert_array_equal(picked.indices, [4, 1])
    assert picked.reasons[5] == "no_alternative"


def test_copies_of_one_response_are_no_alternatives() -> None:
    picked = select_best_candidates(
        np.array([-1.0, -1.0]),
        np.array(["p", "p"]),
        np.array(["Yes.", " Yes. "], dtype=object),
        np.array(["b", "a"]),
        require_alternatives=True,
    )
    assert list(picked.reasons) == ["same_response", "no_alternative"]


def test_equal_responses_to_different_prompts_are_not_copies() -> None:
    picked = select_best_candidates(
        np.array([-1.0, -1.0]), np.array(["p", "q"]), np.array(["Yes."] * 2), np.array(["a", "b"])
    )
    assert len(picked.indices) == 2


def test_an_unscored_candidate_is_no_alternative() -> None:
    picked = select_best_candidates(
        np.array([-1.0, np.nan]), np.array(["p", "p"]), np.array(["x", "y"]), np.array(["a", "b"])
    )
    assert list(picked.reasons) == ["", "no_score"]
    assert list(picked.remarks) == ["no_alternative", ""]


def test_second_best_come_after_all_the_best() -> None:
    picked = select(keep=2)
    np.testing.assert_array_equal(picked.indices, [5, 4, 1, 3, 2])


def test_the_highest_score_is_the_lowest_perplexity() -> None:
    rng = np.random.default_rng(0)
    losses, prompts = rng.uniform(0.1, 4, 60), np.repeat(np.arange(20).astype(str), 3)
    ids = np.array([f"{i:02}" for i in range(60)])
    picked = select_best_candidates(-losses, prompts, ids, ids)
    best = {p: int(np.where(prompts == p, np.exp(losses), np.inf).argmin()) for p in set(prompts)}
    assert set(picked.indices) == set(best.values())


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="keep must be 1 or more"):
        select(keep=0)
    with pytest.raises(ValueError, match="one length"):
        select_best_candidates(SCORES, PROMPTS[:2], TEXTS, IDS)
