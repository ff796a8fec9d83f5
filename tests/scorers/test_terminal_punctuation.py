import numpy as np
import pytest

from scorers.terminal_punctuation import score_terminal_punctuation


def score(*texts: str) -> list[float]:
    return [*score_terminal_punctuation(np.array(texts, dtype=object))]


def test_is_the_share_of_lines() -> None:
    assert score("Yes.\n\nHome\n  No!  \nAbout us") == [0.5]


@pytest.mark.parametrize(
    "line",
    [
        "Really?",
        "And so\u2026",
        "(See below.)",
        "**Never do this!**",
        'He said "yes"',
        "\u201eJa\u201c",  # German quotation marks
        "\u732b\u3002",  # Chinese
        "\u300c\u306f\u3044\u3002\u300d",  # Japanese
        "\u0643\u064a\u0641\u061f",  # Arabic
        "\u0939\u0948\u0964",  # Hindi
    ],
)
def test_a_sentence_ends_in_its_own_script(line: str) -> None:
    assert score(line) == [1.0]


@pytest.mark.parametrize(
    "line", ["Contents", "and then,", "as follows:", "x = (a + b)", "***", "}"]
)
def test_what_ends_no_sentence(line: str) -> None:
    assert score(line) == [0.0]


def test_no_line_is_no_score() -> None:
    np.testing.assert_array_equal(score("", " \n"), [np.nan, np.nan])
