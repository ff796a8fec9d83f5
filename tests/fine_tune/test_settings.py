from typing import Any

import pytest
from pydantic import ValidationError

from fine_tune.outcome import trial_identity
from fine_tune.settings import TrainSettings

HFT, LINES, DFT = ({"method": name} for name in ("hft", "lines", "dft"))
POFT = {"method": "poft", "perplexities": ["p", "q"]}


def test_every_field_is_described_for_the_form() -> None:
    assert all(field.description for field in TrainSettings.model_fields.values())


def test_an_unknown_or_impossible_setting_is_refused() -> None:
    wrong_ones: tuple[dict[str, Any], ...] = (
        {"learning_rat": 1e-4},
        {"packing": "bfd"},
        {"batch_rows": 0},
        {"epochs": 0},
        {"methods": [{"method": "hfft"}]},
    )
    for wrong in wrong_ones:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            TrainSettings.model_validate(wrong)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"methods": [DFT, POFT]}, "dft and poft all change the loss: leave one"),
        ({"methods": [HFT]}, "hft is not for tune: lora; it needs tune: full"),
        ({"methods": [{"method": "eva"}], "tune": "full"}, "eva is not for tune: full"),
        ({"methods": [{"method": "q_tuning"}]}, "q_tuning .* give batch_rows of at least 8"),
        ({"methods": [{"method": "sftmix"}], "packing": True}, "sftmix needs rows apart"),
        ({"methods": [HFT, HFT], "tune": "full"}, "hft and hft all change the parameters"),
    ],
)
def test_methods_that_do_not_go_together_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TrainSettings.model_validate(settings)


def test_methods_of_several_kinds_go_together() -> None:
    methods = [{"method": "tl_training"}, {"method": "masked_thought"}, POFT, HFT, LINES]
    settings = TrainSettings.model_validate({"methods": methods, "tune": "full", "packing": True})
    assert settings.scores() == ("p", "q")
    assert TrainSettings.model_validate(settings.model_dump()) == settings
    assert TrainSettings.model_validate_json(settings.model_dump_json()) == settings


def test_a_training_that_uses_nothing_new_is_the_one_it_was() -> None:
    assert not {"methods", "tune"} & TrainSettings().model_dump(mode="json").keys()
    # as it was before there were methods
    assert trial_identity("e", "m", TrainSettings()) == "f8f19bbf53f533d9"
    assert "tune" in TrainSettings(tune="full").model_dump()
