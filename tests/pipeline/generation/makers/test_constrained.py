"""Constrained: what a prompt states is what its answer was checked by, for every rule and pair."""

import json
from collections.abc import Mapping
from itertools import count, product
from typing import get_args

import pytest
from pydantic import ValidationError

from pipeline.generation.maker import Ask, Settled
from pipeline.generation.makers.constrained import Constrained, RuleName, draw_constraints
from pipeline.generation.verifiers.constraints import Constraints
from scorers.measures.protocols import GeneratedAnswer
from storage.examples import Example
from tests.pipeline.generation.verifiers.given import faults, row

RULES: tuple[RuleName, ...] = get_args(RuleName)

SOURCE = row("Explain why bread dough rises.", "Yeast makes gas, and gluten holds it.")


def constrained(**fields: object) -> Constrained:
    return Constrained.model_validate({"method": "constrained", **fields})


def run(settings: Constrained, source: Example, *answers: str) -> tuple[list[Settled], list[Ask]]:
    """What became of the answers, and what was asked."""
    making = settings.makings([source], 0)[source.example_id]
    asked: list[Ask] = []
    try:
        asked += next(making).asks
        making.send([GeneratedAnswer(text, 2, True) for text in answers])
    except StopIteration as ended:
        return list(ended.value), asked
    raise AssertionError("it asks more")


def comply(rules: Constraints) -> str:
    """A text that keeps all of the rules, and says nothing besides."""
    bullet = "- " if rules.points or rules.form == "bullets" else ""
    words = [*rules.includes, *["[x]"] * rules.placeholders_at_least]
    lines = [f"{bullet}so" for _ in range(rules.points or 1)]
    lines[0] = " ".join([f"{bullet}so", *words, *["so"] * rules.words_at_least])
    parts = ["\n".join(lines), *["so"] * ((rules.paragraphs or 1) - 1)]
    text = "\n\n".join(parts) + (f" {rules.ends_with}" if rules.ends_with else "")
    if rules.form in ("json", "quoted"):
        text = json.dumps(text) if rules.form == "json" else f'"So:\n{text}"'
    return text.upper() if rules.case == "upper" else text.lower()


def violate(rule: RuleName, rules: Constraints) -> str:
    """A text that breaks the rule."""
    broken: Mapping[RuleName, str] = {
        "words_at_least": "so " * (rules.words_at_least - 1),
        "words_at_most": "so " * (1 + (rules.words_at_most or 0)),
        "includes": "".join(rules.includes) + "less",
        "excludes": f"so {''.join(rules.excludes)}, so",
        "json": "so",
        "bullets": "- so\nso",
        "one_line": "so\nso",
        "quoted": 'so "so"',
        "points": "- so\n" * (1 + (rules.points or 0)),
        "paragraphs": "so\n\n" * (1 + (rules.paragraphs or 0)),
        "placeholders_at_least": "[so] " * (rules.placeholders_at_least - 1),
        "lower": "sO",
        "upper": "So",
        "no_commas": "so, so",
        "ends_with": f"{rules.ends_with} So.",
    }
    return broken[rule]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_stated_and_accepts_what_keeps_it_and_nothing_else(rule: RuleName) -> None:
    stated = set()
    for seed in range(100):
        drawn = draw_constraints(constrained(rules=[rule]), SOURCE, [seed])
        assert drawn is not None
        rules, told = drawn
        (value,) = rules.model_dump(exclude={"method"}, exclude_defaults=True).values()
        if rule not in ("json", "bullets", "one_line", "quoted", "lower", "upper", "no_commas"):
            assert str(value[0] if isinstance(value, tuple) else value) in told
        assert faults(rules, SOURCE, comply(rules), violate(rule, rules))[0] == ""
        assert faults(rules, SOURCE, violate(rule, rules)) != [""]
        stated.add(told)
    assert len(stated) > 1, "there are several wordings"


def test_rules_that_are_drawn_together_can_be_kept_together() -> None:
    pairs = set()
    for first, second in product(RULES, RULES):
        for seed in range(4):
            settings = constrained(rules=[first, second], rules_each=2)
            drawn = draw_constraints(settings, SOURCE, [seed])
            assert drawn is not None
            rules, told = drawn
            assert faults(rules, SOURCE, comply(rules)) == [""], (rules, comply(rules))
            assert draw_constraints(settings, SOURCE, [seed]) == drawn, "the same draw again"
            if {first, second} == {"json", "bullets"}:
                assert ("JSON" in told) + ("bullet" in told) == 1, "one form is drawn and stated"
            if len(rules.given_rules()) == 2:
                pairs.add(frozenset((first, second)))
    assert len(pairs) > 80, "most of the 105 go together"


def test_a_row_is_the_prompt_with_its_rules_and_an_answer_that_keeps_them() -> None:
    settings = constrained(rules=["no_commas", "one_line"], rules_each=2, samples=3)
    seed = next(
        n
        for n in count()
        if (drawn := draw_constraints(settings, SOURCE, [n, "rules", SOURCE.example_id]))
        and len(drawn[0].given_rules()) == 2
    )
    making = settings.makings([SOURCE], seed)[SOURCE.example_id]
    asks = next(making).asks
    drawn = draw_constraints(settings, SOURCE, [seed, "rules", SOURCE.example_id])
    assert drawn is not None
    text = f"{SOURCE.prompt}\n\n{drawn[1]}"
    assert [[*ask.messages] for ask in asks] == [[{"role": "user", "content": text}]] * 3
    rule = " ".join(drawn[1].split()[:5])
    said = ("First, second", f"It rises. {rule}", "Gas makes it rise.")
    with pytest.raises(StopIteration) as ended:
        making.send([GeneratedAnswer(each, 2, True) for each in said])
    settled = ended.value.value
    assert [each.reason for each in settled] == ["has_comma", "repeats_prompt", "sample"]
    assert [m["content"] for m in settled[2].row.messages] == [text, said[2]]


def test_a_given_response_is_stated_what_it_keeps_already_and_nothing_is_asked() -> None:
    response = (
        "Gas. It comes from yeast.\n\n- sugar in\n- gas out\n- [number] hours\n\nThat is all."
    )
    told = set()
    for rule in RULES:
        source = row("Explain why bread dough rises in ovens.", response)
        settings = constrained(answers="given", rules=[rule], endings=["That is all."])
        (settled,), asked = run(settings, source)
        assert not asked and not settled.replies
        if settled.row is None:
            assert settled.reason == "no_rule_kept"
            continue
        told.add(rule)
        prompt, answer = (str(m["content"]) for m in settled.row.messages)
        assert answer == response and prompt.startswith(source.prompt)
        drawn = draw_constraints(settings, source, [0, "rules", source.example_id])
        assert drawn is not None and prompt.endswith(drawn[1])
        assert faults(drawn[0], source, answer) == [""]
    assert told == {
        "words_at_least",
        "words_at_most",
        "includes",
        "excludes",
        "points",
        "paragraphs",
        "placeholders_at_least",
        "no_commas",
        "ends_with",
    }
    assert constrained(answers="given").calls_for(9) == {}


def test_rows_are_taken_that_it_has_words_of_and_a_response_where_that_is_kept() -> None:
    alone = row("Explain it.")
    assert constrained().takes(alone) and not constrained(answers="given").takes(alone)
    assert not constrained().takes(row("Is it so?", "Perhaps.")), "no word says anything"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"temperature": 0}, "every sample is the same"),
        ({"answers": "given", "verify": [{"method": "in_language"}]}, "looks at new answers"),
        ({"endings": ["two\nlines"]}, "pattern"),
        ({"rules": ["word_count"]}, "words_at_least"),
    ],
)
def test_settings_that_say_two_things_are_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        constrained(**fields)
