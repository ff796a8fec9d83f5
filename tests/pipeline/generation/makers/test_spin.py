"""SPIN: the model's own answer is the rejected one of the row that it was made of."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.export.rejected import dropped_answers
from pipeline.generation.makers.spin import SPIN, make_by_spin
from pipeline.selection.run_steps import CHOSEN_OF_PAIRS, SelectSettings
from pipeline.selection.stage import select_examples
from scorers.measures.protocols import GeneratedAnswer
from storage.database import read_workspace
from storage.examples import Example
from storage.rejected import read_stored_answers
from storage.runs import read_counts
from tests.scripted_maker import begin, make, script, write_sums
from tests.stage_runner import count_words

SOURCE = Example(
    "id",
    "prompt",
    [{"role": "user", "content": "2 + 4?"}, {"role": "assistant", "content": "It is 6"}],
    [],
    1,
    "2 + 4?",
    "It is 6",
    [1],
)
ALL = SelectSettings.model_validate(
    {"held_out": 0, "steps": [{"method": "random", "budget": {"fraction": 1.0}}]}
)


def settled(text: str, *, finished: bool = True) -> tuple[str, str | None]:
    """Why there is a row or none, and what it says."""
    making = make_by_spin(SPIN(method="spin"), SOURCE)
    (ask,) = next(making).asks
    assert ask.messages == SOURCE.conversation.prompt
    try:
        making.send([GeneratedAnswer(text, 1, finished=finished)])
    except StopIteration as ended:
        (each,) = ended.value
        return each.reason, each.row.messages[-1]["content"] if each.row else None
    raise AssertionError("it asked more than once")


def test_an_answer_of_its_own_is_a_row_and_the_given_one_is_none() -> None:
    assert settled("six") == ("own_answer", "six")
    assert settled(" It is 6\n") == ("same_answer", None)
    assert settled("it is si", finished=False) == ("cut_off", None)


def test_what_it_makes_is_rejected_for_the_row_it_was_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, lambda text, seed: f"mine, to {text}")
    run, pool = begin(tmp_path, write_sums(tmp_path))
    _, grown = make(run, SPIN(method="spin"), pool)
    assert len(grown) == 2 * len(pool)
    run = count_words(replace(run), grown)
    chosen = select_examples(run, ALL, grown)
    assert chosen.rows == len(pool)
    with read_workspace(run.workspace) as con:
        counts = {each.label: each for each in read_counts(con, run.run_id)}
        said = dict(con.execute("select example_id, response from examples").fetchall())
        prompts = dict(con.execute("select example_id, prompt from examples").fetchall())
        found = dropped_answers(con, run.run_id, chosen.selection_id, ["rejected_answer"], 1)
        stored = read_stored_answers(con, run.run_id, [e.example_id for e in found.values()])
    assert counts[CHOSEN_OF_PAIRS].dropped == {"rejected_answer": len(pool)}
    assert not counts[CHOSEN_OF_PAIRS].notes, "it is what was asked for"
    assert {*found} == {*pool}
    for kept, other in found.items():
        assert said[other.example_id] == f"mine, to {prompts[kept]}"
    assert all(each.rejected and each.reason == "rejected_answer" for each in stored)
