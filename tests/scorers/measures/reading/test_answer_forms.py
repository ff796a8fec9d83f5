"""Answers of a form in process: whatever the model wants to write, a whole answer is of it."""

import json

import pytest
import torch

from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.protocols import (
    AnswerForm,
    GeneratedAnswer,
    GenerationRequest,
    JsonForm,
    OneOf,
)
from scorers.measures.reading import sampling

pytestmark = pytest.mark.slow  # a real model writes

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
WORDS = OneOf(("yes", "no", "not at all"))


def request(form: AnswerForm | None, seed: int, temperature: float = 2.0) -> GenerationRequest:
    messages = [{"role": "user", "content": "Who are you? Reply in JSON."}]
    return GenerationRequest(messages, (), temperature, 100, seed, form)


def is_person(text: str) -> bool:
    found = json.loads(text)
    assert text == json.dumps(found, separators=(",", ":"), ensure_ascii=False) or "\\" in text
    assert set(found) == {"name", "age", "tags"}
    name, age, tags = found["name"], found["age"], found["tags"]
    sound = isinstance(name, str) and len(name) <= 12 and type(age) is int and 0 <= age <= 120
    return sound and set(tags) <= {"a", "b"} and len(tags) <= 3


def answers(
    model: HuggingFaceLanguageModel, requests: list[GenerationRequest]
) -> list[GeneratedAnswer]:
    replies = model.sample(requests)
    return [reply for reply in replies if isinstance(reply, GeneratedAnswer)]


def test_a_reply_under_a_schema_parses_always(language_model: HuggingFaceLanguageModel) -> None:
    """Two layers of a model write no JSON by themselves, at this temperature least of all."""
    asked = [request(JsonForm(PERSON), seed) for seed in range(24)]
    found = answers(language_model, asked)
    assert len(found) == 24 and all(each.finished and each.options is None for each in found)
    assert all(is_person(each.text) for each in found)
    assert len({each.text for each in found}) > 12, "it still writes what it likes"
    (free,) = answers(language_model, [request(None, 0)])
    with pytest.raises(ValueError, match=r"Expecting|Extra data"):
        json.loads(free.text)


def test_the_whole_model_keeps_to_it_too() -> None:
    model = load_language_model(resolve_model("wheel:smollm2-135m-instruct"))
    asked = [request(JsonForm(PERSON), seed, heat) for seed, heat in ((0, 0.0), (1, 1.0), (2, 1.5))]
    found = answers(model, asked)
    assert len(found) == 3 and all(is_person(each.text) for each in found)


def test_one_of_some_texts_comes_with_what_each_was_worth(
    language_model: HuggingFaceLanguageModel,
) -> None:
    asked = [
        request(WORDS, seed, heat) for seed, heat in ((0, 0.0), *((n, 30.0) for n in range(40)))
    ]
    found = answers(language_model, asked)
    assert {each.text for each in found} == set(WORDS.options) and len(found) == 41
    assert all(each.finished for each in found)
    first = found[0].options
    assert first is not None and all(each.options == pytest.approx(first) for each in found)
    # "no" is the beginning of "not at all": a token that begins both counts for neither.
    assert 0 < first["yes"] < 1 and first["no"] == 0 and sum(first.values()) <= 1


def test_a_form_changes_nobody_else_and_company_changes_no_form(
    language_model: HuggingFaceLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = [request(form, seed) for seed in range(3) for form in (JsonForm(PERSON), None, WORDS)]
    together = [each.text for each in answers(language_model, mixed)]
    assert together == [answers(language_model, [each])[0].text for each in mixed]
    began: list[int] = []
    read = sampling._Batch.advance

    def run_out(batch: sampling._Batch, tokens: list[int]) -> None:
        began.append(len(tokens))
        if len(began) == 5:
            raise torch.OutOfMemoryError
        read(batch, tokens)

    monkeypatch.setattr(sampling._Batch, "advance", run_out)
    assert [each.text for each in answers(language_model, mixed)] == together


def test_what_is_cut_off_is_called_so(language_model: HuggingFaceLanguageModel) -> None:
    messages = [{"role": "user", "content": "x"}]
    (cut,) = answers(language_model, [GenerationRequest(messages, (), 2.0, 3, 0, JsonForm(PERSON))])
    assert not cut.finished and cut.tokens == 3


@pytest.mark.parametrize("schema", [{"type": "strnig"}, {"not": {}}, {"$ref": "#/nowhere"}])
def test_a_schema_that_nothing_keeps_to_is_refused_before_a_word_is_written(
    schema: dict[str, object], language_model: HuggingFaceLanguageModel
) -> None:
    with pytest.raises(ValueError, match=r"cannot be kept to: .+\. Leave out of the schema"):
        language_model.sample([request(JsonForm(schema), 0)])
