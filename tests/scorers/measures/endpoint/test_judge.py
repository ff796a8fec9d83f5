from pathlib import Path

import numpy as np
import pytest

from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.judge import EndpointJudge
from scorers.measures.protocols import OptionModel, OptionProbabilities
from tests.fake_endpoint import Body, Canned, listed, serve

REPLIES = {
    "spread": listed(A=0.5, _A=0.1, B=0.2, The=0.2),
    "words": listed(A=0.3, Actually=0.4, a=0.1, B=0.1),
    "blank": listed(_=0.6, A=0.1, B=0.3),
    "other": listed(The=0.9, Sure=0.1),
    "refused": Canned(403),
    "without": Canned(body={"choices": [{"message": {"content": "A"}}]}),
    "odd": Canned(body={"choices": [{"logprobs": {"content": [{"top_logprobs": [{}, "A"]}]}}]}),
}


def ask(*kinds: str) -> tuple[OptionProbabilities, list[Body]]:
    def respond(body: Body, attempt: int) -> Canned:
        return REPLIES.get(body["messages"][0]["content"], REPLIES["spread"])

    with serve(respond) as endpoint:
        judge: OptionModel = EndpointJudge(EndpointSettings(endpoint.base_url, "m", retries=0))
        prompts = [[{"role": "user", "content": kind}] for kind in kinds]
        answer = judge.option_probabilities(prompts, ("A", "B", "C"))
    return answer, [received.body for received in endpoint.received]


def test_listed_tokens_become_probabilities_of_the_options() -> None:
    answer, _ = ask("spread")
    # A: 0.5 + 0.1 with a blank before it; B: 0.2; C is not listed. Together 0.8.
    np.testing.assert_allclose(answer.mass, [0.8])
    np.testing.assert_allclose(answer.probabilities, [[0.75, 0.25, 0.0]])


def test_a_word_that_begins_like_an_option_is_not_the_option() -> None:
    answer, _ = ask("words")
    np.testing.assert_allclose(answer.mass, [0.4])
    np.testing.assert_allclose(answer.probabilities, [[0.75, 0.25, 0.0]])


def test_a_blank_begins_every_option_and_counts_for_none() -> None:
    answer, _ = ask("blank")
    np.testing.assert_allclose(answer.mass, [0.4])
    np.testing.assert_allclose(answer.probabilities, [[0.25, 0.75, 0.0]])


def test_what_could_not_be_read_is_nan_and_costs_no_other_row() -> None:
    answer, _ = ask("other", "refused", "spread", "without", "odd")
    missing = np.isnan(answer.probabilities).all(axis=1)
    assert missing.tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(answer.mass, [0, 0, 0.8, 0, 0])
    reasons = {at: failure.reason for at, failure in answer.failures.items()}
    assert reasons == {0: "no_option", 1: "http_403", 3: "no_logprobs", 4: "no_logprobs"}


def test_asks_for_one_token_with_the_probabilities_as_the_model_gave_them() -> None:
    _, (body,) = ask("spread")
    assert body["max_tokens"] == 1 and body["temperature"] == 1.0
    assert body["logprobs"] is True and body["top_logprobs"] == 20


def test_nothing_asked_gives_empty_arrays() -> None:
    answer, _ = ask()
    assert answer.probabilities.shape == (0, 3) and answer.mass.shape == (0,)


@pytest.mark.parametrize("options", [(), ("A", "A"), ("Yes", "Yesterday")])
def test_options_with_one_beginning_are_refused(options: tuple[str, ...]) -> None:
    judge = EndpointJudge(EndpointSettings("http://192.0.2.1/v1", "m"))
    with pytest.raises(ValueError, match="different beginnings"):
        judge.option_probabilities([], options)


def test_a_reply_with_probabilities_is_kept_and_one_without_is_asked_again(tmp_path: Path) -> None:
    def respond(body: Body, attempt: int) -> Canned:
        return REPLIES[body["messages"][0]["content"]]

    with serve(respond) as endpoint:
        judge = EndpointJudge(EndpointSettings(endpoint.base_url, "m", retries=0, cache=tmp_path))
        prompts = [[{"role": "user", "content": kind}] for kind in ("spread", "other", "without")]
        first = judge.option_probabilities(prompts, ("A", "B", "C"))
        again = judge.option_probabilities(prompts, ("A", "B", "C"))
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    asked = [received.body["messages"][0]["content"] for received in endpoint.received]
    assert sorted(asked) == ["other", "spread", "without", "without"]
