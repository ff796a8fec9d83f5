"""A template is translated once for all its rows, keeps its names, and rows keep what is theirs."""

import pytest
from pydantic import ValidationError

from pipeline.generation.maker import Ask, Settled, Unread
from pipeline.generation.maker_block import WHOLE_POOL
from pipeline.generation.makers.translated_templates import (
    TranslatedTemplates,
    make_by_translated_templates,
    read_translated,
)
from scorers.measures.protocols import GeneratedAnswer
from storage.examples import Example
from tests.pipeline.generation.verifiers.given import row

GIVEN = "Premise: {premise}\nFollows {claim}? Say {yes} or {no}, and only {yes} or {no}."
MADE = "En découle-t-il {claim} ? Dites {yes} ou {no}, rien que {yes} ou {no}. Texte : {premise}"
PREMISE = "It rained {claim} all day. Does it?"


def nli(premise: str = PREMISE, claim: str = "streets are wet") -> str:
    fields = {"premise": premise, "claim": claim, "yes": "ja", "no": "nein"}
    return GIVEN.format(**fields)


def block(**fields: object) -> TranslatedTemplates:
    given = {"method": "translated_templates", "templates": [GIVEN], "languages": ["French"]}
    return TranslatedTemplates.model_validate({**given, **fields})


def translate(
    settings: TranslatedTemplates, sources: list[Example], *replies: str
) -> tuple[list[Settled], list[Ask]]:
    making = make_by_translated_templates(settings, sources, 0)
    wanted = next(making)
    with pytest.raises(StopIteration) as ended:
        making.send([GeneratedAnswer(text, 1, True) for text in replies])
    assert len(replies) == len(wanted.asks)
    return list(ended.value.value), [*wanted.asks]


def test_rows_are_filled_as_they_were_and_keep_their_answers() -> None:
    source = row(nli(), "ja")
    (settled,), asked = translate(block(), [source], f"{MADE}\n")
    assert GIVEN in str(asked[0].messages[0]["content"])
    assert settled.row is not None and settled.reason == "French"
    assert settled.parents == [source.example_id]
    prompt, answer = (str(turn["content"]) for turn in settled.row.messages)
    # The {claim} of the premise is text.
    fields = {"claim": "streets are wet", "yes": "ja", "no": "nein"}
    assert (prompt, answer) == (MADE.format(premise=PREMISE, **fields), "ja")


def test_each_template_that_has_rows_is_asked_for_once_in_each_language() -> None:
    sources = [row(f"Tell me of {n}.", str(n)) for n in range(3)]
    templates = ["Who is {x}?", "Tell me of {x}.", "Tell me {x}"]
    settings = block(templates=templates, languages=["French", "German"])
    settled, asked = translate(settings, sources, "Parlez de {x} !", "Wer ist das")
    assert [ask.stage for ask in asked] == ["template 2 French", "template 2 German"]
    rows = [each.row.messages[0]["content"] for each in settled if each.row]
    assert sorted(rows) == [f"Parlez de {n} !" for n in range(3)]
    (lost,) = [each for each in settled if each.row is None]
    assert lost.reason == "placeholders_differ"
    assert settings.calls_for(3)["generate"] == (2, 6, 256)
    assert settings.calls_for(0)["generate"] == (0, 0, 256)
    assert not settings.makings([], 0) and {*settings.makings(sources, 0)} == {WHOLE_POOL}


def test_of_more_rows_than_the_cap_the_same_ones_stay_in_each_language() -> None:
    sources = [row(f"Tell me of {n}.", str(n)) for n in range(9)]
    settings = block(templates=["Tell me of {x}."], languages=["French", "Dutch"], cap=4)
    settled, _ = translate(settings, sources, "Parlez de {x} !", "Vertel over {x}")
    of = {
        language: [each.parents for each in settled if each.reason == language]
        for language in ("French", "Dutch")
    }
    assert of["French"] == of["Dutch"] and len(of["French"]) == 4
    backwards, _ = translate(settings, sources[::-1], "Parlez de {x} !", "Vertel over {x}")
    assert backwards == settled


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (MADE, ""),
        (MADE.replace("{claim}", "{claims}"), "placeholders_differ"),
        (MADE.replace("{claim}", "claim"), "placeholders_differ"),
        (f"{MADE} {{claim}}", "placeholders_differ"),
        (MADE.replace("rien que {yes} ou {no}", "rien que {yes}"), "placeholders_differ"),
        (GIVEN, "not_translated"),
        (GIVEN.replace("Follows", "Is it told, then, that"), "not_translated"),
    ],
)
def test_a_translation_has_each_name_as_often(text: str, fault: str) -> None:
    read = read_translated(GIVEN, GeneratedAnswer(text, 1, True))
    assert (read.reason if isinstance(read, Unread) else "") == fault
    assert read_translated(GIVEN, GeneratedAnswer(MADE, 1, False)) == Unread("cut_off")


@pytest.mark.parametrize(
    ("prompt", "taken"),
    [
        (nli(), True),
        (f"{nli()} ", False),
        (nli(claim=""), False),
        (nli().replace("only ja", "only si"), False),  # one name is one text
        (nli("It rained.\nFollows that? Nobody knows."), False),  # where does the premise end?
    ],
)
def test_rows_of_a_template_are_taken_and_no_others(prompt: str, taken: bool) -> None:
    assert block().takes(row(prompt, "ja")) == taken
    assert not block().takes(row(prompt))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"templates": ["Say it."]}, "needs a {name}"),
        ({"templates": ["{a}{b}"]}, "without a sign between"),
        ({"templates": ["{a}", "{a}"]}, "two of the templates"),
        ({"languages": ["French", "French"]}, "two of the languages"),
    ],
)
def test_templates_that_cannot_be_found_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        block(**fields)
