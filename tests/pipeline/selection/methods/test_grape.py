import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.ranking.outcome import Outcome
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.methods.grape import Grape, prompt_overlap, select_best_candidates
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from tests.stage_runner import count_words, score, start

#                  0      1      2      3      4       5        6
PROMPTS = np.array(["q", "q", "q", "p", "p", "alone", "unscored"])
TEXTS = np.array(["a b", "a  b\n", "c", "d", "e", "f", "g"], dtype=object)
SCORES = np.array([-0.5, -0.5, -0.9, -2.0, -1.0, -3.0, np.nan])
IDS = np.array(["6", "5", "4", "3", "2", "1", "0"])


def select(keep: int = 1, require_alternatives: bool = False) -> Outcome:
    return select_best_candidates(SCORES, PROMPTS, TEXTS, IDS, keep, require_alternatives)


def test_keeps_the_likeliest_of_each_prompt() -> None:
    outcome = select()
    assert list(PROMPTS[outcome.indices]) == ["alone", "p", "q"]
    np.testing.assert_array_equal(outcome.indices, [5, 4, 1])
    assert list(outcome.reasons) == [
        "same_response",  # as row 1, which has the lower id
        "",
        "not_best_candidate",
        "not_best_candidate",
        "",
        "",
        "no_score",
    ]
    np.testing.assert_array_equal(outcome.because_of, [1, -1, 1, 4, -1, -1, -1])


def test_an_only_candidate_is_picked_with_a_remark() -> None:
    assert list(select().remarks) == ["", "", "", "", "", "no_alternative", ""]


def test_an_only_candidate_is_out_where_alternatives_are_required() -> None:
    outcome = select(require_alternatives=True)
    np.testing.assert_array_equal(outcome.indices, [4, 1])
    assert outcome.reasons[5] == "no_alternative"


def test_copies_of_one_response_are_no_alternatives() -> None:
    outcome = select_best_candidates(
        np.array([-1.0, -1.0]),
        np.array(["p", "p"]),
        np.array(["Yes.", " Yes. "], dtype=object),
        np.array(["b", "a"]),
        require_alternatives=True,
    )
    assert list(outcome.reasons) == ["same_response", "no_alternative"]


def test_equal_responses_to_different_prompts_are_not_copies() -> None:
    outcome = select_best_candidates(
        np.array([-1.0, -1.0]), np.array(["p", "q"]), np.array(["Yes."] * 2), np.array(["a", "b"])
    )
    assert len(outcome.indices) == 2


def test_an_unscored_candidate_is_no_alternative() -> None:
    outcome = select_best_candidates(
        np.array([-1.0, np.nan]), np.array(["p", "p"]), np.array(["x", "y"]), np.array(["a", "b"])
    )
    assert list(outcome.reasons) == ["", "no_score"]
    assert list(outcome.remarks) == ["no_alternative", ""]


def test_second_best_come_after_all_the_best() -> None:
    outcome = select(keep=2)
    np.testing.assert_array_equal(outcome.indices, [5, 4, 1, 3, 2])


def test_the_highest_score_is_the_lowest_perplexity() -> None:
    rng = np.random.default_rng(0)
    losses, prompts = rng.uniform(0.1, 4, 60), np.repeat(np.arange(20).astype(str), 3)
    ids = np.array([f"{i:02}" for i in range(60)])
    outcome = select_best_candidates(-losses, prompts, ids, ids)
    best = {p: int(np.where(prompts == p, np.exp(losses), np.inf).argmin()) for p in set(prompts)}
    assert set(outcome.indices) == set(best.values())


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="keep must be 1 or more"):
        select(keep=0)
    with pytest.raises(ValueError, match="one length"):
        select_best_candidates(SCORES, PROMPTS[:2], TEXTS, IDS)


def test_as_many_of_each_prompt_as_asked_for() -> None:
    #                 q  q  q  p  p  alone unscored
    keep = np.array([2, 2, 2, 0, 0, 3, 1])
    outcome = select_best_candidates(SCORES, PROMPTS, TEXTS, IDS, keep)
    np.testing.assert_array_equal(outcome.indices, [5, 1, 2])
    assert list(outcome.reasons[3:5]) == ["not_matched"] * 2
    np.testing.assert_array_equal(outcome.because_of[3:5], [-1, -1])
    assert outcome.reasons[6] == "no_score"
    with pytest.raises(ValueError, match="one length"):
        select_best_candidates(SCORES, PROMPTS, TEXTS, IDS, keep[:3])


def test_the_share_of_a_response_that_its_prompt_has() -> None:
    prompt = "Repeat after me: one two three four five"
    assert prompt_overlap(prompt, "One two three four five") == 1
    # one two three four | two three four six: one of two
    assert prompt_overlap(prompt, "one two three four six") == 0.5
    assert prompt_overlap(prompt, "two") == 1
    assert prompt_overlap(prompt, "seven") == 0
    assert prompt_overlap(prompt, " ") == 0
    assert prompt_overlap("", "one two") == 0


def dropped(folder: Path, step: dict[str, Any]) -> dict[str, str]:
    """Why each response is out; the likeliest is the longest here."""
    given = [("a b c d e", text) for text in ("x", "x y", "a b c d", "a b c d e f x y z")]
    matched = [("a b c d e", text) for text in ("m", "m n")]
    for name, pairs in (("given", [*given, ("other", "w")]), ("matched", matched)):
        rows = [json.dumps({"prompt": prompt, "completion": text}) for prompt, text in pairs]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    run, pool = start(folder / "w", [folder / "given.jsonl", folder / "matched.jsonl"])
    with read_workspace(run.workspace) as con:
        found = con.execute("select path, source_id from sources").fetchall()
    named = {Path(path).stem: [source_id] for path, source_id in found}
    run = replace(count_words(run, pool), named_sources=named)
    run = score(run, ScoreSettings(scorer="response_length", name="grape"), pool)
    steps = [{"method": "grape", **step}, {"method": "random", "budget": {"fraction": 1}}]
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": steps}), pool)
    with read_workspace(run.workspace) as con:
        reasons = con.execute(
            "select response, reason from decisions join examples using (example_id) "
            "where outcome = 'dropped'"
        ).fetchall()
    return dict(reasons)


@pytest.mark.slow
def test_matches_the_numbers_of_a_source(tmp_path: Path) -> None:
    out = dropped(tmp_path, {"keep": "match", "match": "matched"})
    assert set(out) == {"x", "x y", "m", "m n", "w"}  # two rows there, two kept here
    assert out["w"] == "not_matched"


def test_the_guards_are_off_unless_asked_for(tmp_path: Path) -> None:
    assert "x" not in dropped(tmp_path, {"keep": 9})
    guarded = {"keep": 9, "min_response_tokens": 2, "max_prompt_overlap": 0.5}
    (tmp_path / "guarded").mkdir()
    out = dropped(tmp_path / "guarded", guarded)
    # Of the grams of "a b c d e f x y z" two of six stand in the prompt.
    assert out == {
        "x": "too_short",
        "m": "too_short",
        "w": "too_short",
        "a b c d": "copies_prompt",
    }


@pytest.mark.parametrize("given", [{"keep": "match"}, {"match": "x"}, {"keep": 2, "match": "x"}])
def test_match_needs_a_source_to_match(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="go together"):
        Grape.model_validate({"method": "grape", **given})
