import numpy as np
import pytest

from scorers.refusal_phrases import REFUSALS, SELF_REFERENCES, score_refusal_phrases
from scorers.words import split_words


def score(*texts: str, self_references: bool = True) -> list[float]:
    column = np.array(texts, dtype=object)
    return [*score_refusal_phrases(column, self_references=self_references)]


def test_counts_each_occurrence_of_each_phrase() -> None:
    # "I'm sorry, but I" and "I can't help with"; "as an AI" twice
    assert score(
        "I'm sorry, but I can't help with that.",
        "As an AI I see. As an AI language model, I do not.",
        "Paris is the capital of France.",
    ) == [-2.0, -2.0, 0.0]
    assert not np.signbit(score("Paris")).any()


def test_case_punctuation_and_the_kind_of_apostrophe_do_not_matter() -> None:
    assert score("i\u2019M SORRY but i must decline") == [-2.0]


def test_phrases_are_whole_words() -> None:
    assert score("He served as an aide.", "as an air") == [0.0, 0.0]


def test_self_references_can_be_left_out() -> None:
    text = "As an AI, I cannot assist with that."
    assert score(text) + score(text, self_references=False) == [-2.0, -1.0]


@pytest.mark.parametrize(
    "text",
    [
        "Es tut mir leid, aber das geht nicht: dabei kann ich nicht helfen.",
        "Je ne suis pas en mesure de r\u00e9pondre.",
        "Lo siento, pero no puedo hacerlo.",
        "\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u56de\u7b54\u3002",
    ],
)
def test_other_languages_have_their_phrases(text: str) -> None:
    assert score(text) == [-1.0]


def test_an_empty_text_refuses_nothing() -> None:
    assert score("", "?!") == [0.0, 0.0]


def test_no_phrase_is_listed_twice() -> None:
    listed = [tuple(split_words(phrase)) for phrase in (*REFUSALS, *SELF_REFERENCES)]
    assert len(set(listed)) == len(listed)
    assert all(listed)
