"""Replies that are JSON: of the schema, or a named reason why not."""

import pytest

from pipeline.generation.json_replies import form_of, read_json_object
from pipeline.generation.maker import Unread
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure

FORM = form_of({"question": {"type": "string"}, "count": {"type": "integer"}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"question": "Why?", "count": 1', "no_json"),
        ('```json\n{"question": "Why?", "count": 1}\n```', "no_json"),
        ('{"question": "Why?", "count": 1,}', "no_json"),
        ("[" * 100_000, "no_json"),
        ("9" * 5000, "no_json"),
        ('{"question": "Why?"}', "other_json"),
        ('{"question": "Why?", "count": "1"}', "other_json"),
        ('{"question": "Why?", "count": 1, "more": 2}', "other_json"),
        ("[]", "other_json"),
        (" ", "empty_answer"),
    ],
)
def test_what_is_not_of_the_form_is_named(text: str, reason: str) -> None:
    assert read_json_object(GeneratedAnswer(text, 3, finished=True), FORM) == Unread(reason)


def test_an_object_of_the_form_is_read_whole() -> None:
    reply = GeneratedAnswer('{"question": " Why?\\nSay. ", "count": 1}', 3, finished=True)
    found = read_json_object(reply, FORM)
    assert found == {"question": " Why?\nSay. ", "count": 1}
    assert read_json_object(GeneratedAnswer(reply.text, 3, finished=False), FORM) == Unread(
        "cut_off"
    )
    assert read_json_object(GenerationFailure("timeout", ""), FORM) == Unread("timeout")
