"""What a trial is told is refused where it cannot be meant."""

import pytest
from pydantic import ValidationError

from pipeline.trials.settings import ArmSettings, TrialEvaluation


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give one of the two"),
        ({"selection": "choice", "control": "random"}, "give one of the two"),
        ({"control": "longest", "draws": 2}, "draws are for random and length_matched"),
    ],
)
def test_an_arm_is_one_thing(given: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ArmSettings.model_validate(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give a path, or held_out"),
        ({"path": "x", "held_out": True}, "give a path, or held_out"),
        ({"path": "x", "metric": "choice", "prompt": "q"}, "needs the fields prompt, answer"),
        ({"path": "x", "choices": "c"}, "choices are for metric: choice"),
        ({"path": "x", "answer": "a"}, "name that of the prompt too"),
        ({"held_out": True, "cluster": "g"}, "the pool's own"),
    ],
)
def test_an_evaluation_names_its_items(given: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TrialEvaluation.model_validate(given)
