"""Requests for a reply that is there: asked for with it alone, and none that gives it away."""

import pytest

from pipeline.generation.maker import Unread
from pipeline.generation.written_requests import fault_of_request, write_request
from scorers.measures.protocols import GeneratedAnswer

TEXT = "Air is mostly nitrogen. A fifth of it is oxygen, which fires need. The rest is argon."


def test_a_request_that_says_the_reply_is_none() -> None:
    told = "Tell me that a fifth of it is oxygen, which fires need."
    assert fault_of_request(told, TEXT) == "quotes_reply"
    assert fault_of_request("Is a fifth of it oxygen?", TEXT) == ""
    assert fault_of_request("And so it is.", TEXT) == "no_content"
    asked = "Write the one request that it is a good reply to"
    assert fault_of_request(asked, TEXT) == "repeats_prompt"


def test_a_request_is_asked_for_with_the_reply_and_its_white_space_goes() -> None:
    asking = write_request(TEXT, 0.7, 9)
    (ask,) = next(asking).asks
    assert ask.place == ("request", 0) and (ask.temperature, ask.max_new_tokens) == (0.7, 9)
    assert TEXT in str(ask.messages[0]["content"])
    with pytest.raises(StopIteration) as ended:
        asking.send([GeneratedAnswer(" What is air?\n", 3, True)])
    assert ended.value.value == (("request", 0), "What is air?")
    asking = write_request(TEXT, 0.7, 9)
    next(asking)
    with pytest.raises(StopIteration) as ended:
        asking.send([GeneratedAnswer(f"Say that {TEXT}", 3, True)])
    assert ended.value.value == (("request", 0), Unread("quotes_reply"))
