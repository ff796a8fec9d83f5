"""A template writes the same date on every day."""

from importlib.resources import files
from pathlib import Path

import pytest

from scorers.measures.reading.fixed_date import UnfixedDateError, fix_date


def shipped(name: str) -> str:
    return Path(str(files("trl") / "chat_templates" / f"{name}.jinja")).read_text()


@pytest.mark.parametrize(
    ("template", "fixed"),
    [
        ('{{ strftime_now("%Y-%m-%d") }}', '{{ "2024-07-26" }}'),
        ("{%- set d = strftime_now( '%d %b %Y' ) %}", '{%- set d = "26 Jul 2024" %}'),
        ("{{ strftime_now('%H') + strftime_now('%d') }}", '{{ "00" + "26" }}'),
        ("{{ messages }}", "{{ messages }}"),
        ("{% if strftime_now is defined %}x{% endif %}",) * 2,
    ],
)
def test_what_is_written_in_the_place_of_a_date(template: str, fixed: str) -> None:
    assert fix_date(template) == fixed


def test_templates_that_write_the_date_write_none_of_today() -> None:
    assert '"26 Jul 2024"' in fix_date(shipped("llama3_2"))
    assert "strftime_now(" in shipped("gptoss")
    assert 'Current date: " + "2024-07-26"' in fix_date(shipped("gptoss"))


def test_a_format_that_is_computed_is_refused() -> None:
    with pytest.raises(UnfixedDateError, match="fixed date"):
        fix_date("{{ strftime_now(format) }}")
