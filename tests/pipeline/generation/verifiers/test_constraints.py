import pytest
from pydantic import ValidationError

from pipeline.generation.verifiers.constraints import Constraints
from tests.pipeline.generation.verifiers.given import faults, row

PROMPT = row("Say something.")


def constraints(**fields: object) -> Constraints:
    return Constraints.model_validate({"method": "constraints", **fields})


@pytest.mark.parametrize(
    ("rules", "answer", "told"),
    [
        ({"words_at_least": 3}, "two words", "too_short"),
        ({"words_at_least": 2}, "two words", ""),
        ({"words_at_most": 2}, "now three words", "too_long"),
        ({"words_at_most": 3}, "now three words", ""),
        ({"includes": ["Three words"]}, "now THREE, words", ""),
        ({"includes": ["three words"]}, "words three", "lacks_word"),
        ({"includes": ["a", "b"]}, "a c", "lacks_word"),
        ({"excludes": ["sorry"]}, "Sorry, no.", "has_word"),
        ({"excludes": ["sorry"]}, "unsorry", ""),
        ({"form": "json"}, '{"a": [1, null]}', ""),
        ({"form": "json"}, '{"a": NaN}', "not_json"),
        ({"form": "json"}, 'Here: {"a": 1}', "not_json"),
        ({"form": "json"}, "[" * 100_000, "not_json"),
        ({"form": "bullets"}, "- one\n\n* two\n3. three", ""),
        ({"form": "bullets"}, "These:\n- one", "not_bullets"),
        ({"form": "one_line"}, " one line \n", ""),
        ({"form": "one_line"}, "two\nlines", "not_one_line"),
    ],
)
def test_each_rule_is_kept_or_named(rules: dict[str, object], answer: str, told: str) -> None:
    assert faults(constraints(**rules), PROMPT, answer) == [told]


def test_rules_that_nothing_keeps_are_refused() -> None:
    with pytest.raises(ValidationError, match="give a rule at least"):
        constraints()
    with pytest.raises(ValidationError, match="no answer has both"):
        constraints(words_at_least=3, words_at_most=2)
