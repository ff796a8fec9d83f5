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
        ({"form": "quoted"}, '"Yes, it is." ', ""),
        ({"form": "quoted"}, '"Yes", it is.', "not_quoted"),
        ({"form": "quoted"}, '"', "not_quoted"),
        ({"points": 2}, "Two:\n- one\n  2) two\n-three", ""),
        ({"points": 2}, "- one\n- two\n- three", "other_points"),
        ({"paragraphs": 2}, "\none\nline\n \n\ntwo\n", ""),
        ({"paragraphs": 2}, "one\ntwo", "other_paragraphs"),
        ({"placeholders_at_least": 2}, "Dear [name], on [the day]", ""),
        ({"placeholders_at_least": 2}, "Dear [name], on [] [\n]", "lacks_placeholder"),
        ({"case": "lower"}, "all of it, 3 times", ""),
        ({"case": "lower"}, "all of It", "not_lower_case"),
        ({"case": "lower"}, "3 + 4", "not_lower_case"),
        ({"case": "upper"}, "ALL OF IT", ""),
        ({"case": "upper"}, "ALL OF iT", "not_upper_case"),
        ({"no_commas": True}, "one; two", ""),
        ({"no_commas": True}, "one\uff0ctwo", "has_comma"),
        ({"ends_with": "That is all."}, "No. that is ALL.\n", ""),
        ({"ends_with": "That is all."}, "That is all. Bye.", "other_end"),
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


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"excludes": ["all"], "includes": ["all of it"]}, "excludes: all is wanted"),
        ({"excludes": ["is all"], "ends_with": "That is all."}, "excludes: is all is wanted"),
        ({"form": "json", "ends_with": "All."}, "json and ends_with do not go together"),
        ({"form": "one_line", "points": 2}, "one_line and points do not go together"),
    ],
)
def test_rules_that_do_not_go_together_are_refused(rules: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        constraints(**rules)
    for name in rules:
        constraints(**{name: rules[name]})
