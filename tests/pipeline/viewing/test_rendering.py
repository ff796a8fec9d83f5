"""What templates write: escaped, bounded, and harmless, wherever it comes from."""

from markupsafe import Markup

from pipeline.viewing.rendering import (
    ENVIRONMENT,
    MOST_CHARACTERS,
    as_html,
    percent,
    query_of,
    shown_number,
)


def test_all_that_is_written_is_escaped_and_harmless() -> None:
    page = ENVIRONMENT.from_string('<p title="{{ text }}">{{ text }}</p>{{ ours }}')
    shown = page.render(text="<b>\"'\x1b[2J\u202e\u2066\ud800", ours=Markup("<i>"))
    own = "&lt;b&gt;&#34;&#39;" + r"\u001b[2J\u202e\u2066\ud800"
    assert shown == f'<p title="{own}">{own}</p><i>'


def test_a_long_text_is_cut_and_that_is_said() -> None:
    shown = ENVIRONMENT.from_string("{{ text }}").render(text="x" * 1_000_000)
    assert shown == "x" * MOST_CHARACTERS + "… (1,000,000 characters)"


def test_markdown_of_a_report_has_no_markup_of_others() -> None:
    shown = as_html("| a |\n|---|\n| <script>x</script> [t](javascript:x) ![p](http://x) |\n")
    assert "<table tabindex" in shown and "&lt;script&gt;" in shown
    assert "<a" not in shown and "<img" not in shown and "<script" not in shown


def test_numbers_and_addresses() -> None:
    assert [shown_number(n) for n in (None, 3, 1234567, 0.123456, -3.9244, 4691.2858)] == [
        *("", "3", "1,234,567", "0.1235", "-3.924", "4,691.3")
    ]
    assert [percent(n) for n in (None, 0.5, 0.923, 0.004)] == ["", "50%", "92.3%", "0.4%"]
    assert query_of({"a": "x&y=1", "b": "", "c": None, "step": 0}) == "a=x%26y%3D1&step=0"
