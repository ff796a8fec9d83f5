import numpy as np
import pytest

from pipeline.selection.methods.language import select_language

LANGUAGES = np.array(["en", "de", "fr", "", "en"], dtype=object)
CONFIDENCE = np.array([0.9, 0.7, 1.0, np.nan, 0.6])
IDS = np.array(["e", "d", "c", "b", "a"], dtype=object)


def test_rows_in_the_languages_wanted_pass_in_the_order_of_ids() -> None:
    outcome = select_language(LANGUAGES, CONFIDENCE, IDS, ["en", "de"])
    np.testing.assert_array_equal(outcome.indices, [4, 1, 0])
    np.testing.assert_array_equal(outcome.reasons, ["", "", "other_language", "no_language", ""])
    np.testing.assert_array_equal(outcome.value, CONFIDENCE)


def test_a_confidence_too_low_is_no_language() -> None:
    outcome = select_language(LANGUAGES, CONFIDENCE, IDS, ["en"], 0.7)
    wanted = ["", "other_language", "other_language", "no_language", "no_language"]
    np.testing.assert_array_equal(outcome.reasons, wanted)


def test_rows_without_a_language_can_pass() -> None:
    outcome = select_language(LANGUAGES, CONFIDENCE, IDS, ["fr"], 0.7, unclear=True)
    np.testing.assert_array_equal(outcome.reasons, ["other_language", "other_language", "", "", ""])


@pytest.mark.parametrize(("keep", "least"), [([], 0.5), (["en"], 1.5), (["en"], float("nan"))])
def test_settings_out_of_range_are_refused(keep: list[str], least: float) -> None:
    with pytest.raises(ValueError, match="keep must name a language, and least be from 0 to 1"):
        select_language(LANGUAGES, CONFIDENCE, IDS, keep, least)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="columns of one length"):
        select_language(LANGUAGES, CONFIDENCE[:1], IDS, ["en"])
