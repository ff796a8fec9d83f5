import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from scorers.measures.protocols import Message, OptionModel
from scorers.measures.reflection import ask_reflector, fits_window, reflection_questions
from tests.fakes import FakeReflector


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def test_answers_are_correct_incorrect_not_sure_whatever_the_letters_mean() -> None:
    reflector = FakeReflector(
        lambda question: (0.5, 0.3, 0.2) if "first" in question else (0.1, 0.2, 0.7)
    )
    model: OptionModel = reflector
    found = ask_reflector([(user("first"), "t"), (user("second"), "t")], model)
    expected = [[[0.5, 0.3, 0.2]] * 2, [[0.1, 0.2, 0.7]] * 2]
    np.testing.assert_allclose(found.probabilities, expected)
    np.testing.assert_allclose(found.mass, np.full((2, 2), 0.8))
    assert found.failures == {}
    options = [[line for line in seen.splitlines() if line[1:3] == ". "] for seen in reflector.seen]
    assert "correct" in options[0][0] and "wrong" in options[2][0]  # A is not always the good one


def test_a_question_shows_the_whole_prompt_and_the_target() -> None:
    call = {"type": "function", "function": {"name": "look_up", "arguments": {"at": "Umeå"}}}
    prompt: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first {question}"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "42"},
    ]
    questions = reflection_questions(prompt, "{the} target")
    assert len(questions) == 2
    for (message,) in questions:
        for shown in ("[system]\nBe brief.", "first {question}", "look_up", "Umeå", "{the} target"):
            assert shown in message["content"]
    (lone,) = reflection_questions(user("just this"), "t")[0]
    assert "[user]" not in lone["content"]


def test_no_pairs_give_empty_arrays() -> None:
    found = ask_reflector([], FakeReflector(lambda question: (1, 0, 0)))
    assert found.probabilities.shape == (0, 2, 3) and found.mass.shape == (0, 2)


@pytest.mark.slow
def test_what_fits_a_window_is_counted_in_its_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    fits = fits_window(tokenizer, max_tokens=200)
    (short,) = reflection_questions(user("one"), "two")[:1]
    (long,) = reflection_questions(user("one " * 200), "two")[:1]
    assert fits(short) and not fits(long)
