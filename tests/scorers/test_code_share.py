import numpy as np
import pytest

from scorers.code_share import score_code_share


def score(*texts: str) -> list[float]:
    return [*score_code_share(np.array(texts, dtype=object))]


def test_counts_the_lines_inside_fences_and_not_the_fences() -> None:
    # x=1 is 3 of 3 + 4 characters; a shorter or other fence closes none
    assert score("Do so\n\n```python\n  x=1\n```", "~~~~\na\n~~~\nb\n~~~~\nword") == [3 / 7, 5 / 9]


def test_an_open_fence_goes_on_to_the_end() -> None:
    assert score("```\na\nb", "```\na\n```py\nb") == [1.0, 1.0]


def test_backticks_within_a_line_are_no_fence() -> None:
    assert score("```x``` is one\nand no code") == [0.0]


@pytest.mark.parametrize(
    "line",
    [
        "def area(r):",
        "class Shape(Base):",
        "for (int i = 0; i < n; i++) {",
        "}",
        "int x = 3;",
        "foo(bar);",
        'print("hello")',
        "import numpy as np",
        "from os import path",
        "if x > 3:",
        "#include <stdio.h>",
        "const x = 1",
        "<div class='a'>",
        "<b>bold</b>",
    ],
)
def test_lines_of_code_are_known_without_a_fence(line: str) -> None:
    assert score(line) == [1.0]


@pytest.mark.parametrize(
    "line",
    [
        "For example:",
        "The first has two parts;",
        "import duties rose by a tenth",
        "x = 2",
        "# A heading",
        "Let x be a number.",
        "a < b and c > d",
        "for the first time. Then:",
        "It is f(x), or so (they say)",
    ],
)
def test_prose_and_formulas_are_not(line: str) -> None:
    assert score(line) == [0.0]


def test_nothing_but_fences_is_no_score() -> None:
    np.testing.assert_array_equal(score("", " ", "```\n```"), [np.nan] * 3)
