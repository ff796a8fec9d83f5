import pytest

from scorers import SCORERS, scorer_settings


def test_gives_every_setting_in_the_order_of_the_names() -> None:
    settings = scorer_settings(SCORERS["s2l_cluster"], {"seed": 3})
    assert list(settings.items()) == [("clusters", 100), ("seed", 3), ("standardise", False)]


def test_a_scorer_without_settings_has_none() -> None:
    assert scorer_settings(SCORERS["ifd"], {}) == {}


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'cluster'\. Did you mean 'clusters'\? There are: clus"):
        scorer_settings(SCORERS["s2l_cluster"], {"cluster": 10})
    with pytest.raises(ValueError, match="There are: none"):
        scorer_settings(SCORERS["ifd"], {"alpha": 1})


@pytest.mark.parametrize(
    ("name", "value"), [("clusters", "10"), ("clusters", 10.0), ("seed", True), ("standardise", 1)]
)
def test_a_value_of_another_type_is_an_error(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        scorer_settings(SCORERS["s2l_cluster"], {name: value})


def test_an_int_may_stand_for_a_float_and_is_stored_as_one() -> None:
    settings = scorer_settings(SCORERS["confidence"], {"alpha": 1})
    assert repr(settings) == "{'alpha': 1.0, 'beta': 0.7}"
