"""The form of an answer over HTTP: how it is told, read back, refused, and part of the request."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from scorers.measures.endpoint.client import EndpointSettings, FormRefusedError
from scorers.measures.endpoint.forms import FormsOf
from scorers.measures.endpoint.generator import EndpointGenerator
from scorers.measures.protocols import (
    AnswerForm,
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    JsonForm,
    OneOf,
)
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, serve

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
WORDS = OneOf(("yes", "no"))


def request(text: str, form: AnswerForm | None) -> GenerationRequest:
    return GenerationRequest([{"role": "user", "content": text}], (), 0.0, 32, 1, form)


def settings(endpoint: FakeEndpoint, forms: FormsOf = "json_schema") -> EndpointSettings:
    return EndpointSettings(
        endpoint.base_url, "m", timeout_seconds=5, backoff_seconds=0.001, forms=forms
    )


def spoken(*places: tuple[str, dict[str, float]]) -> Canned:
    """An answer of these tokens, with the likeliest at the place of each."""
    content = [
        {
            "token": token,
            "top_logprobs": [
                {"token": each, "logprob": math.log(probability)}
                for each, probability in top.items()
            ],
        }
        for token, top in places
    ]
    text = "".join(token for token, _ in places)
    choice = {
        "message": {"content": text},
        "finish_reason": "stop",
        "logprobs": {"content": content},
    }
    return Canned(body={"choices": [choice]})


LIKELY = {"yes": 0.6, " no": 0.1, "n": 0.05, "perhaps": 0.2}


def test_each_kind_of_server_is_told_in_its_own_way() -> None:
    with serve(lambda body, attempt: completion("{}")) as endpoint:
        for forms in get_args(FormsOf):
            asked = EndpointGenerator(settings(endpoint, forms))
            asked.sample([request("a", JsonForm(SCHEMA)), request("b", WORDS), request("c", None)])
    by_text: dict[str, list[Body]] = {}
    for received in endpoint.received:
        plain = {"model", "messages", "temperature", "top_p", "seed", "max_tokens"}
        fields = {name: value for name, value in received.body.items() if name not in plain}
        by_text.setdefault(received.body["messages"][0]["content"], []).append(fields)
    named = {"name": "answer", "strict": True}
    assert by_text["a"] == [
        {"response_format": {"type": "json_schema", "json_schema": {**named, "schema": SCHEMA}}},
        {"structured_outputs": {"json": SCHEMA}},
        {},
    ]
    listed = {"logprobs": True, "top_logprobs": 20}
    first, second, third = by_text["b"]
    schema = first["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"answer": {"type": "string", "enum": ["yes", "no"]}}
    assert second == {**listed, "structured_outputs": {"choice": ["yes", "no"]}} and third == {}
    assert by_text["c"] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("reply", "text", "options"),
    [
        (spoken(("yes", LIKELY)), "yes", {"yes": 0.6, "no": 0.15}),
        (
            spoken(('{"', {}), ("answer", {}), ('": "', {}), ("no", LIKELY), ('"}', {})),
            "no",
            {"yes": 0.6, "no": 0.15},
        ),
        # The quote and the word are one token: what stood behind the quote is not known.
        (spoken(('{"answer":', {}), ('"no', LIKELY), ('"}', {})), "no", None),
        (completion('{"answer": "yes"}'), "yes", None),
        (completion("I think so"), "I think so", None),
        (completion('{"answer": "ye', finish_reason="length"), '{"answer": "ye', None),
        (completion('{"verdict": "yes"}'), '{"verdict": "yes"}', None),
    ],
)
def test_one_of_some_texts_is_read_as_itself_with_its_probabilities(
    reply: Canned, text: str, options: dict[str, float] | None
) -> None:
    with serve(lambda body, attempt: reply) as endpoint:
        (answer,) = EndpointGenerator(settings(endpoint)).sample([request("?", WORDS)])
    assert isinstance(answer, GeneratedAnswer) and answer.text == text
    assert answer.options == (options and pytest.approx(options))


def test_of_json_the_answer_is_left_as_it_is() -> None:
    said = '{"answer": "yes"}'
    with serve(lambda body, attempt: completion(said)) as endpoint:
        (answer,) = EndpointGenerator(settings(endpoint)).sample([request("?", JsonForm(SCHEMA))])
    assert answer == GeneratedAnswer(said, 7, finished=True)


@pytest.mark.parametrize("status", [400, 422, 501])
def test_a_form_that_a_server_takes_of_nobody_ends_it_and_says_what_to_do(status: int) -> None:
    def respond(body: Body, attempt: int) -> Canned:
        return Canned(status) if "response_format" in body else completion("x")

    with serve(respond) as endpoint:
        asked = EndpointGenerator(replace(settings(endpoint), retries=0, max_concurrency=1))
        with pytest.raises(
            FormRefusedError, match=r"takes no response_format.*Set `forms`"
        ) as told:
            asked.sample([request(f"{n}", JsonForm(SCHEMA)) for n in range(9)])
        assert told.value.exit_code == 2
        assert "0" in str(endpoint.received[0].body["messages"])
        assert len(endpoint.received) < 5, "nobody else is asked"
        plain = EndpointGenerator(settings(endpoint, "none"))
        assert isinstance(plain.sample([request("a", JsonForm(SCHEMA))])[0], GeneratedAnswer)


def test_a_body_that_is_refused_for_itself_is_its_own_failure() -> None:
    def respond(body: Body, attempt: int) -> Canned:
        return Canned(400) if "bad" in str(body["messages"]) else completion("{}")

    with serve(respond) as endpoint:
        asked = [request(text, JsonForm(SCHEMA)) for text in ("good", "bad", "well")]
        answers = EndpointGenerator(settings(endpoint)).sample(asked)
    assert [type(each) for each in answers] == [GeneratedAnswer, GenerationFailure, GeneratedAnswer]


def test_the_form_is_part_of_the_request_and_equal_ones_are_asked_once(tmp_path: Path) -> None:
    with serve(lambda body, attempt: completion('{"answer": "no"}')) as endpoint:
        asked = EndpointGenerator(replace(settings(endpoint), cache=tmp_path))
        forms: list[AnswerForm | None] = [WORDS, None, JsonForm(SCHEMA), WORDS]
        first = asked.sample([request("a", form) for form in forms])
        again = asked.sample([request("a", form) for form in forms])
    texts = [each.text for each in first if isinstance(each, GeneratedAnswer)]
    assert texts == ["no", '{"answer": "no"}', '{"answer": "no"}', "no"] and first == again
    assert len(endpoint.received) == 3
    assert len({asked.kept_at(request("a", form)) for form in forms}) == 3
    assert json.loads(json.dumps(endpoint.received[0].body)) == endpoint.received[0].body
