import pytest
from pydantic import ValidationError

from fine_tune.settings import TrainSettings


def test_every_field_is_described_for_the_form() -> None:
    assert all(field.description for field in TrainSettings.model_fields.values())


def test_an_unknown_or_impossible_setting_is_refused() -> None:
    for wrong in ({"learning_rat": 1e-4}, {"packing": True}, {"batch_rows": 0}, {"epochs": 0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            TrainSettings.model_validate(wrong)
