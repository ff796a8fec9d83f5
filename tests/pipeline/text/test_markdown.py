import pytest

from pipeline.text.markdown import markdown_table


def test_numbers_are_right_and_a_cell_is_one_line() -> None:
    assert markdown_table("lr", ("name", "rows"), [("a\n| b", 3), ("", "1,000")]) == (
        "| name | rows |\n|---|--:|\n| a \\| b | 3 |\n|  | 1,000 |"
    )


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected 2 cells, got \['a'\]"):
        markdown_table("lr", ("name", "rows"), [("a",)])
