from collections.abc import Sequence

import numpy as np
import pytest

from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.judge import EndpointJudge
from scorers.measures.protocols import Message, OptionProbabilities
from scorers.measures.ratings import (
    MARKS,
    QUALITY,
    RatedRow,
    RatingRow,
    check_template,
    rate_answers,
    rating_question,
)
from tests.fake_endpoint import Body, Canned, listed, serve
from tests.fakes import FakeLanguageModel


def row(prompt: str, response: str = "an answer") -> RatedRow:
    return RatedRow([{"role": "user", "content": prompt}], response)


def text_of(question: Sequence[Message]) -> str:
    return str(question[0]["content"])


def test_the_whole_distribution_is_kept_for_each_row_in_its_place() -> None:
    model = FakeLanguageModel(mass=0.7)
    rows = [row("a"), row("b")]
    rated = rate_answers(rows, QUALITY, MARKS, model)
    for one, each in zip(rows, rated, strict=True):
        expected = model.option_probabilities([rating_question(QUALITY, one)], MARKS)
        assert each == RatingRow("ok", None, expected.probabilities[0].tolist(), 0.7)
    assert rated[0] != rated[1]


def test_a_question_shows_prompt_and_response_where_they_belong() -> None:
    dialogue: list[Message] = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "second"},
    ]
    question = rating_question("{response} <- {prompt}", RatedRow(dialogue, "the answer"))
    expected = "the answer <- [user]\nfirst\n\n[assistant]\nyes\n\n[user]\nsecond"
    assert list(question) == [{"role": "user", "content": expected}]


def test_braces_in_a_row_are_text() -> None:
    question = rating_question(
        'Reply as {"mark": 1}. {prompt} / {response}', row("{response} {0}", "{prompt} {x!r} }{")
    )
    assert text_of(question) == 'Reply as {"mark": 1}. {response} {0} / {prompt} {x!r} }{'


def test_a_question_that_does_not_fit_costs_its_row_alone() -> None:
    rated = rate_answers(
        [row("long " * 50), row("short"), row("long " * 50)],
        "{prompt}",
        ("yes", "no"),
        FakeLanguageModel(),
        fits=lambda question: len(text_of(question)) < 100,
    )
    assert [each.state for each in rated] == ["truncated", "ok", "truncated"]
    assert rated[0] == RatingRow("truncated", "the question about it is too long for the judge")
    alone = rate_answers([row("short")], "{prompt}", ("yes", "no"), FakeLanguageModel())
    assert rated[1:2] == alone


def test_what_a_server_does_not_say_is_a_state_with_its_reason() -> None:
    replies = {
        "good": listed(**{"4": 0.6, "5": 0.2, "The": 0.1}),
        "words": listed(The=0.9),
        "silent": Canned(body={"choices": [{"message": {"content": "4"}}]}),
        "long": Canned(400, {"error": {"message": "maximum context length is 9 tokens"}}),
        "odd": Canned(422),
    }

    def respond(body: Body, attempt: int) -> Canned:
        return replies[body["messages"][0]["content"]]

    with serve(respond) as endpoint:
        judge = EndpointJudge(EndpointSettings(endpoint.base_url, "m", retries=0))
        rated = rate_answers([row(name) for name in replies], "{prompt}", MARKS, judge)
    good, *bad = rated
    assert good.probabilities is not None and good.mass is not None
    np.testing.assert_allclose(good.probabilities, [0, 0, 0, 0.75, 0.25, 0])
    np.testing.assert_allclose(good.mass, 0.8)
    details = "no option is among the tokens that the server listed"
    assert bad == [
        RatingRow("failed", f"no_option: {details}"),
        RatingRow("failed", "no_logprobs: the server listed no likely first tokens"),
        RatingRow("truncated", "context_length: status 400"),
        RatingRow("failed", "http_422: status 422"),
    ]


def test_a_judge_that_believes_in_no_option_gives_no_number() -> None:
    class Mute:
        def option_probabilities(
            self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
        ) -> OptionProbabilities:
            return OptionProbabilities(np.full((1, len(options)), np.nan), np.zeros(1))

    (rated,) = rate_answers([row("a")], "{prompt}", MARKS, Mute())
    assert rated.state == "failed" and rated.probabilities is None and rated.mass is None


def test_nothing_asked_gives_nothing() -> None:
    assert rate_answers([], QUALITY, MARKS, FakeLanguageModel()) == []


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{promt}", r"\{promt\}. Did you mean '\{prompt\}'\? There are: \{prompt\}, \{response\}"),
        ("{prompt} {0}", r"nothing to put in for \{0\}"),
        ("How good?", "the same for every row"),
    ],
)
def test_a_question_that_cannot_be_put_is_refused(template: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_template(template)


def test_the_built_in_question_and_one_with_other_braces_can_be_put() -> None:
    check_template(QUALITY)
    check_template('{"mark": 1} {} {response}')
