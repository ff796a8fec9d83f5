"""Which languages an export is said to have: from a floor on, the most frequent first."""

import pytest

from pipeline.export.languages import language_line, main_languages


@pytest.mark.parametrize(
    ("rows", "named", "line"),
    [
        ({}, [], ""),
        ({"": 9}, [], "Rows by measured language: none that could be told 9."),
        (  # 1 % of the 100 rows with a language; the 50 without one do not count
            {"fr": 1, "en": 97, "de": 2, "": 50},
            ["en", "de", "fr"],
            "Rows by measured language: en 97, de 2, fr 1, none that could be told 50.",
        ),
        (
            {"fr": 1, "yue": 100, "de": 100},  # equal ones by their codes, one in 201 is not named
            ["de", "yue"],
            "Rows by measured language: de 100, yue 100, others 1.",
        ),
    ],
)
def test_the_measured_languages_are_named_from_a_floor_on(
    rows: dict[str, int], named: list[str], line: str
) -> None:
    assert main_languages(rows) == named and language_line(rows) == line
