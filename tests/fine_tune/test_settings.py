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
        ({"methods": [{"method": "coba"}]}, "coba moves the weights of tasks, which balance names"),
        ({"methods": [POFT], "balance": "source"}, "poft takes each row for itself"),
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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stages": [{}], "methods": [{"method": "dft"}]}, "each stage has its own methods"),
        ({"stages": [{}], "mix": [{}], "epochs": 2}, "its own mix and epochs"),
        ({"stages": [{}], "max_steps": 3}, "its own max_steps"),
        ({"stages": [{}], "balance": "source"}, "leave it out, or stages"),
        ({"mix": [{}], "balance": "source"}, "leave it out, or mix"),
        ({"mix": [{"export": "a"}, {}, {"export": "a"}]}, "a stands there twice"),
        ({"stages": [{"mix": [{}, {}]}]}, "own stands there twice"),
        ({"stages": [{}, {"methods": [{"method": "hft"}]}]}, "hft is not for tune: lora"),
        ({"stages": [{}, {"methods": [{"method": "eva"}]}]}, "stage 2 goes on with one"),
        ({"stages": [{"methods": [{"method": "lines"}]}, {}]}, "belongs to the last stage"),
        ({"stages": [{"mix": []}]}, "at least 1 item"),
        ({"soup": {}}, "is of at least two"),
        ({"soup": {"seeds": [4, 4], "learning_rates": [1e-4]}}, "is of at least two"),
        ({"soup": {"seeds": [0, 1]}, "stages": [{}]}, "leave one out"),
        ({"soup": {"seeds": [0, 1]}, "methods": [{"method": "eva"}]}, "which have no mean"),
        ({"soup": {"learning_rates": [0.1, 0]}}, "greater than 0"),
        ({"soup": {"trainings": [{"training": "a"}, {"training": "a"}]}}, "is of at least two"),
        (
            {"soup": {"trainings": [{"training": "a"}, {"training": "b"}], "seeds": [1]}},
            "trains nothing where it names trainings",
        ),
    ],
)
def test_stages_that_cannot_follow_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainSettings.model_validate(settings)


def test_a_stage_has_what_the_training_has_and_its_own() -> None:
    stages = [{"epochs": 2, "learning_rate": 1e-5}, {"methods": [{"method": "dft"}]}]
    settings = TrainSettings.model_validate(
        {"lora_rank": 3, "learning_rate": 0.1, "stages": stages}
    )
    first, second = (settings.of_stage(each) for each in settings.stages)
    assert (first.lora_rank, first.epochs, first.learning_rate) == (3, 2, 1e-5)
    assert (second.epochs, second.learning_rate, second.methods[0].method) == (1, 0.1, "dft")
    assert not first.stages and first.mix[0].export == "own"
    assert TrainSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_a_soup_has_a_member_for_each_seed_and_rate() -> None:
    soup = {"seeds": [3, 4, 3], "learning_rates": [0.1, 0.2]}
    members = TrainSettings.model_validate({"seed": 9, "soup": soup}).members()
    assert [(each.seed, each.learning_rate) for each in members] == [
        (3, 0.1),
        (3, 0.2),
        (4, 0.1),
        (4, 0.2),
    ]
    assert all(each.soup is None for each in members)
