"""One gate for what models and servers wrote: an answer is refused, a message is spelled out."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.measures.model_text import (
    LONGEST_MESSAGE,
    check_answer,
    find_flaw,
    storable_message,
)
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure

ANY_TEXT = st.text(st.characters() | st.sampled_from("\0\ud800\udfff"))


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("\0", "NUL"),
        ("before \0 after", "NUL"),
        ("\ud83d", "a lone surrogate"),
        ("\udc00\ud800", "a lone surrogate"),
        ("\U0001f600 \ufffd \x1b\x7f\u200b", ""),
        ("", ""),
    ],
)
def test_an_answer_that_cannot_be_stored_is_refused_by_name(text: str, flaw: str) -> None:
    answer = GeneratedAnswer(text, 1, finished=True)
    refused = GenerationFailure("unsound_text", f"the answer holds {flaw}")
    assert find_flaw(text) == flaw and check_answer(answer) == (refused if flaw else answer)


@given(ANY_TEXT)
def test_any_message_can_be_stored_and_a_sound_one_is_as_it_was(text: str) -> None:
    stored = storable_message(text)
    assert find_flaw(stored) == "" and pa.array([stored]).to_pylist() == [stored]
    assert find_flaw(text) or stored == text


def test_a_message_has_an_end() -> None:
    assert storable_message("x" * 10_000) == "x" * LONGEST_MESSAGE + " …"
    assert storable_message("a\0\ud800") == "a\\x00\\ud800"
