from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ranking.outcome import Outcome, no_reasons
from pipeline.reporting import what_if
from pipeline.reporting.changes import SettingChange
from pipeline.reporting.what_if import ChoiceNotes, beyond_reach, find_ids
from pipeline.selection.run_steps import StepTaken
from storage.changes import ChoiceChange
from storage.runs import StageCount

NAMES = st.sets(st.text("abc", min_size=1, max_size=3))


@given(NAMES, NAMES)
def test_finds_the_ids_that_are_wanted(ids: set[str], wanted: set[str]) -> None:
    ordered = sorted(ids)
    found = find_ids(np.array(ordered, dtype=object), wanted)
    assert found.tolist() == [each in wanted for each in ordered]


@pytest.mark.parametrize("wanted", [set(), {"a"}])
def test_nothing_is_found_in_nothing(wanted: set[str]) -> None:
    assert find_ids(np.array([], dtype=object), wanted).shape == (0,)


def test_what_a_step_drops_of_the_choice_is_named_with_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(what_if, "spoken_reasons", lambda _, outcome, __: outcome.reasons)
    pool = SimpleNamespace(ids=np.array(list("abcde"), dtype=object))
    rows = SimpleNamespace(pool=pool, indices=np.array([4, 1, 2, 3, 0]))
    # In the order of the step: e stays, b goes because of e, c because of a, d and a by themselves.
    reasons = np.array(["", "no_score", "no_score", "over_budget", "no_score"], dtype=object)
    causes, values = np.array([-1, 0, 4, -1, -1]), np.array([np.nan, 0.5, 0.25, np.nan, np.nan])
    outcome = Outcome(np.array([0]), reasons, causes, values, no_reasons(5), ("a note",))
    notes = ChoiceNotes(rows, set("bcde"), [StageCount("select", 1, "before", 5, 5)])  # type: ignore[arg-type]
    assert notes.then.tolist() == [False, True, True, True, True]
    notes.add(StepTaken("step", rows, outcome))  # type: ignore[arg-type]
    last = notes.counts[-1]
    assert (last.step, last.kept, dict(last.dropped)) == (2, 1, {"no_score": 3, "over_budget": 1})
    assert last.notes == ("a note",)
    assert notes.left == [
        ChoiceChange("removed", 0, "b", "select", "step", "no_score", "e", 0.5),
        ChoiceChange("removed", 0, "c", "select", "step", "no_score", "a", 0.25),
        ChoiceChange("removed", 0, "d", "select", "step", "over_budget", None, None),
    ]


def test_what_changes_the_pool_or_its_numbers_is_beyond_reach() -> None:
    places = ["seed", "select.steps.0.at_most", "dedupe.0.select", "scores", "train.epochs"]
    changed = [SettingChange(place, 1, 2) for place in places]
    assert [each.setting for each in beyond_reach(changed)] == ["seed", "dedupe.0.select"]
