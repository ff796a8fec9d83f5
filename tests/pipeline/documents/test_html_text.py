"""Pages are read as a browser understands them."""

import pytest

from pipeline.documents.extracted import UnreadableDocumentError
from pipeline.documents.html_text import read_html

pytest.importorskip("selectolax")


def text_of(page: str) -> str:
    return read_html(page.encode()).text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a <b>b</b><i>c</i>\n d<p>e", "a bc d\n\ne"),
        ("<ul><li>one<li>two <em>2</em></ul>end", "one\ntwo 2\n\nend"),
        ("<table><tr><th>a<td>b<tr><td>c<td>d</table>", "a\tb\nc\td"),
        ("x<pre>  a\n   b\n</pre>y", "x\n\n  a\n   b\n\n\ny"),
        ("<script>no()</script>a<style>no</style><!-- no --><nav>no</nav> b", "a b"),
        ("<nav>no</nav>no<main><p>yes</main>no", "yes"),
        ("<main>a</main><main>b</main>", "a\n\nb"),
        ("&lt;tag&gt; &amp; &#233; &nope;<br>x", "<tag> & \u00e9 &nope;\nx"),
        ("<div>" * 5000 + "deep", "deep"),
    ],
)
def test_the_text_is_what_the_page_says(page: str, text: str) -> None:
    assert text_of(page) == text


def test_headings_are_found_in_their_text() -> None:
    found = read_html(b"<h1>A  <i>b</i></h1>x<h3> C</h3><h2></h2><div><h2>D</h2>y</div>")
    assert [(each.level, each.title) for each in found.headings] == [(1, "A b"), (3, "C"), (2, "D")]
    assert [found.text[each.at :].split("\n")[0] for each in found.headings] == ["A b", "C", "D"]


@pytest.mark.parametrize(
    "data",
    [
        '<meta charset="iso-8859-1"><p>caf\u00e9 \u201cx\u201d'.encode("cp1252"),
        '<meta http-equiv=x content="text/html; charset=Shift_JIS"><p>caf\u00e9'.encode(
            "utf-8"
        ).replace("caf\u00e9".encode(), "犬".encode("shift_jis")),
        '<?xml version="1.0" encoding="KOI8-R"?><p>да'.encode("koi8-r"),
        "<p>\u00e9".encode(),
    ],
)
def test_a_page_is_read_in_the_encoding_that_it_says(data: bytes) -> None:
    assert read_html(data).text in ("caf\u00e9 \u201cx\u201d", "犬", "да", "\u00e9")


@pytest.mark.parametrize("name", ["utf-8", "shift_jis", "no-such", "hex", "idna"])
def test_a_page_that_is_not_in_its_encoding_is_refused(name: str) -> None:
    with pytest.raises(UnreadableDocumentError, match="UTF-8") as caught:
        read_html(f"<meta charset={name}><p>".encode() + b"\xff\x00\xfe" + b"a" * 80)
    assert caught.value.reason in ("not_utf8", "not_text")
