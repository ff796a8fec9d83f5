import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.selection.methods.correct_answer import CorrectAnswer, select_correct, verdicts
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from storage.selections import read_run_selections, read_selection
from tests.stage_runner import count_words, start

NAN = np.nan


def test_an_answer_is_right_if_any_trusted_one_of_its_prompt_says_so() -> None:
    prompts = np.array(["p", "p", "p", "q", "q", "r"])
    answers = ["12", "12.0", "13", "1/2", None, "12"]
    trusted = ["12", None, None, "0.25", "0.5", None]
    np.testing.assert_array_equal(verdicts(answers, prompts, trusted), [1, 1, 0, 1, 0, NAN])


def test_units_do_not_count_where_they_are_named() -> None:
    prompts = np.array(["p", "p"])
    told = ["18 eggs", "18"], prompts, [None, "18"]
    np.testing.assert_array_equal(verdicts(*told), [0, 1])
    np.testing.assert_array_equal(verdicts(*told, units=["eggs"]), [1, 1])


def test_wrong_answers_are_out_and_the_references_stay() -> None:
    correct = np.array([1, 0, NAN, NAN, 0])
    references = np.array([False, False, False, True, True])
    ids = np.array(list("edcba"))
    outcome = select_correct(correct, references, ids)
    assert list(outcome.reasons) == ["", "wrong_answer", "unverifiable", "", ""]
    np.testing.assert_array_equal(outcome.indices, [4, 3, 0])
    np.testing.assert_array_equal(outcome.value, [1, 0, NAN, NAN, NAN])  # nobody judges a reference
    lenient = select_correct(correct, references, ids, keep_unverifiable=True)
    assert list(lenient.reasons) == ["", "wrong_answer", "", "", ""]
    with pytest.raises(ValueError, match="one length"):
        select_correct(correct, references[:2], ids)


@pytest.mark.parametrize("given", [{}, {"marker": ""}, {"reference": ["x"], "units": [""]}])
def test_a_step_without_anything_to_trust_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"reference|at least 1 character"):
        CorrectAnswer.model_validate({"method": "correct_answer", **given})


def row(question: str, answer: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns})


TRUSTED = [row("3 + 4?", "It is 3 + 4\n#### 7"), row("2 * 50?", "#### 100")]
GIVEN = [
    row("3 + 4?", "3 and 4 are 7.0"),
    row("3 + 4?", "I think that it is 8"),
    row("2 * 50?", "A: $100"),
    row("2 * 50?", "It is 3 + 4\n#### 99"),
    row("and now?", "42"),
]


def choose(folder: Path, step: dict[str, Any]) -> tuple[set[str], dict[str, str]]:
    """The responses chosen, and why each other one was dropped."""
    for name, lines in (("trusted", TRUSTED), ("given", GIVEN)):
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    files = [folder / "trusted.jsonl", folder / "given.jsonl"]
    run, pool = start(folder / "w", files)
    with read_workspace(run.workspace) as con:
        found = con.execute("select path, source_id from sources").fetchall()
    named = {f"./{Path(path).name}": [source_id] for path, source_id in found}
    run = replace(count_words(run, pool), named_sources=named)
    steps = [{"method": "correct_answer", **step}, {"method": "random", "budget": {"fraction": 1}}]
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": steps}), pool)
    with read_workspace(run.workspace) as con:
        selection = read_run_selections(con, run.run_id)["choice"].selection_id
        ids, _ = read_selection(con, selection)
        texts = dict(con.execute("select example_id, response from examples").fetchall())
        drops = "select example_id, reason from decisions where outcome = 'dropped'"
        dropped = {texts[i]: reason for i, reason in con.execute(drops).fetchall()}
    return {texts[i] for i in ids}, dropped


def test_the_rows_of_a_source_are_trusted(tmp_path: Path) -> None:
    chosen, dropped = choose(tmp_path, {"reference": ["./trusted.jsonl"]})
    assert chosen == {"It is 3 + 4\n#### 7", "#### 100", "3 and 4 are 7.0", "A: $100"}
    assert dropped == {
        "I think that it is 8": "wrong_answer",
        "It is 3 + 4\n#### 99": "wrong_answer",
        "42": "unverifiable",
    }


def test_a_marker_alone_says_which_rows_are_trusted(tmp_path: Path) -> None:
    chosen, dropped = choose(tmp_path, {"marker": "####", "unverifiable": "keep"})
    # The row that ends on "#### 99" claims to be trusted too, and nobody can tell them apart.
    assert dropped == {"I think that it is 8": "wrong_answer"}
    assert "42" in chosen
