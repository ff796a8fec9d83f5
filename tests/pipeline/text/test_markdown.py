"""Texts of others in Markdown, read by a Markdown parser: each is what it was, and nothing more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.text.markdown import bullets, code_span, escape_markdown, markdown_table

HOSTILE = (
    "![x](http://evil.example/pixel.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<http://evil.example>",
    "a`b``c",
    "_stress_ and __more__",
    "**bold** | cell\\",
    "line\n\n# heading\n---\n> quote",
    "\x1b]52;c;aGk=\x07\u202egnp.exe",
    "\\[x](y)",
)

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")

MARKUP = (
    "link_open",
    "image",
    "html_inline",
    "html_block",
    "em_open",
    "strong_open",
    "heading_open",
)


def kinds(markdown: str) -> set[str]:
    """Every kind of token that a parser finds."""
    found = set()
    for token in PARSER.parse(markdown):
        found |= {token.type, *(child.type for child in token.children or ())}
    return found


def shown(markdown: str) -> str:
    """What a reader sees of it, of the first paragraph or cell."""
    inline = next(token for token in PARSER.parse(markdown) if token.type == "inline")
    return "".join(child.content for child in inline.children or ())


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_no_markup_wherever_it_stands(text: str) -> None:
    table = markdown_table("ll", ("a", "b"), [(text, "end")])
    for page in (f"It is {escape_markdown(text)}.", *bullets([text]), table):
        assert not kinds(page) & {*MARKUP, "code_inline", "fence", "heading_open", "hr"}, page
    assert len([t for t in PARSER.parse(table) if t.type == "td_open"]) == 2
    page = f"It is {code_span(text)}."
    assert not kinds(page) & {*MARKUP, "fence", "heading_open", "hr"} and "code_inline" in kinds(
        page
    )


def test_what_would_be_obeyed_is_written_out() -> None:
    assert escape_markdown("\x1b[2J\u202e") == r"\\u001b\[2J\\u202e"
    assert code_span("\x1b[2J") == r"`\u001b[2J`"


@given(st.text(st.sampled_from("ab `*[]()<>|\\!#-_")).map(lambda text: f"x{text}x"))
def test_what_is_shown_is_the_text(text: str) -> None:
    wanted = " ".join(text.split())
    assert shown(escape_markdown(text)) == wanted
    assert shown(code_span(text)) == wanted


def test_names_stay_as_they_are_written() -> None:
    label = (
        "threshold(score=response_length, at_least=-4.0): took 3 of the 5 rows of ../a_b/c.jsonl"
    )
    assert escape_markdown(label) == label and code_span(label) == f"`{label}`"


def test_numbers_are_right_and_a_cell_is_one_line() -> None:
    assert markdown_table("lr", ("name", "rows"), [("a\n| b", 3), ("", "1,000")]) == (
        "| name | rows |\n|---|--:|\n| a \\| b | 3 |\n|  | 1,000 |"
    )


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected 2 cells, got \['a'\]"):
        markdown_table("lr", ("name", "rows"), [("a",)])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "set `chat_template`, or `unwritten: keep`",
            "- set `chat_template`, or `unwritten: keep`",
        ),
        ("`a=1.5` and ` b ` and `c", r"- `a=1.5` and \` b \` and \`c"),
        ("``x``, `*x*`, `<b>`, `é`", r"- \`\`x\`\`, \`\*x\*\`, \`\<b\>\`, \`é\`"),
        (r"\`x`", r"- \\\`x\`"),
        ("`x`\n# `y`", "- `x` # `y`"),
    ],
)
def test_names_in_a_list_are_code_and_nothing_else_is(text: str, line: str) -> None:
    assert bullets([text]) == [line]
