from pipeline.generation.verifiers.in_language import InLanguage
from tests.pipeline.generation.verifiers.given import faults, row

ENGLISH = "The weather will be fine tomorrow, and the day after it will rain."
GERMAN = "Das Wetter wird morgen schön, und übermorgen wird es regnen."


def language(**fields: object) -> InLanguage:
    return InLanguage.model_validate({"method": "in_language", **fields})


def test_an_answer_is_in_the_language_of_its_prompt() -> None:
    assert faults(language(), row(GERMAN), ENGLISH, GERMAN) == ["other_language", ""]
    assert faults(language(code="en"), row(GERMAN), ENGLISH, GERMAN) == ["", "other_language"]


def test_what_cannot_be_told_is_kept_unless_it_is_not_wanted() -> None:
    assert faults(language(), row(ENGLISH), "42") == [""]
    assert faults(language(untold="drop"), row(ENGLISH), "42", ENGLISH) == ["untold_language", ""]
    assert faults(language(untold="drop"), row("2 + 2"), ENGLISH) == ["untold_language"]
