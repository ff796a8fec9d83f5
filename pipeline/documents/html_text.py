"""HTML: what a page says, as a browser's parser understands it, with its headings."""

import codecs
import re
from typing import TYPE_CHECKING

from pipeline.documents.built_text import LINE, PARAGRAPH, BuiltText
from pipeline.documents.extracted import ExtractedText, UnreadableDocumentError
from pipeline.documents.plain_text import UTF16, decode_text, even_lines

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

PARAGRAPHS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "details", "dialog", "dl", "fieldset"),
        *("figure", "footer", "form", "header", "hr", "main", "ol", "p", "pre", "section"),
        *("table", "ul"),
    )
)

LINES = frozenset(
    (
        *("br", "caption", "dd", "div", "dt", "figcaption", "legend", "li", "optgroup", "option"),
        *("summary", "tr"),
    )
)

CELLS = frozenset(("td", "th"))

HEADINGS = {f"h{level}": level for level in range(1, 7)}

UNREAD = frozenset(
    (
        *("button", "head", "iframe", "input", "nav", "noscript", "object", "script", "select"),
        *("style", "svg", "template", "textarea"),
    )
)
"""What is no text of the page: code, controls, and the lists of links round it."""

CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
XML_CHARSET = re.compile(rb"\s*<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)

LOOKED_AT = 4096
"""Bytes in which a page says its encoding."""

READ_AS = {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-16": "utf-8", "gb2312": "gb18030"}
"""Encodings that browsers read otherwise than they are called (encoding.spec.whatwg.org)."""


def read_html(data: bytes) -> ExtractedText:
    """The text of a page: of its one `main` if it has one, else of all of it but `nav`."""
    from selectolax.lexbor import LexborHTMLParser

    page = LexborHTMLParser(_decode(data))
    mains = page.css("main, [role=main]")
    root = mains[0] if len(mains) == 1 else page.root
    text = BuiltText()
    if root is not None:
        _walk(root, text)
    return text.built()


def _decode(data: bytes) -> str:
    """The page as text, by the encoding that it names, or UTF-8."""
    head = data[:LOOKED_AT]
    named = XML_CHARSET.match(head) or CHARSET.search(head)
    if data.startswith((codecs.BOM_UTF8, *UTF16)) or named is None:
        return decode_text(data)
    name = named[1].decode("ascii", "replace")
    try:
        encoding = codecs.lookup(name).name
        encoding = READ_AS.get(encoding, encoding)
        if encoding == "utf-8":
            return decode_text(data)
        return even_lines(data.decode(encoding))
    except (LookupError, UnicodeError):
        raise UnreadableDocumentError(
            "not_utf8", f"it says that it is {name}, and is not: convert it to UTF-8, and say so"
        ) from None


def _walk(root: "LexborNode", text: BuiltText) -> None:
    """Take the text of a tree; without recursion, for pages may be of any depth."""
    kept = 0  # how many `pre` are open
    node: LexborNode | None = root
    while node is not None:
        tag = node.tag or ""
        if node.is_text_node:
            text.add(node.text_content or "", keep_white_space=kept > 0)
        elif tag not in UNREAD:
            _open(tag, text)
            kept += tag == "pre"
            if node.child is not None:
                node = node.child
                continue
            kept -= tag == "pre"
            _close(tag, text)
        while node.next is None or node.mem_id == root.mem_id:
            if node.mem_id == root.mem_id or node.parent is None:
                return
            node = node.parent
            kept -= node.tag == "pre"
            _close(node.tag or "", text)
        node = node.next


def _open(tag: str, text: BuiltText) -> None:
    if tag in HEADINGS:
        text.open_heading(HEADINGS[tag])
    elif tag in CELLS:
        text.tab()
    else:
        _break(tag, text)


def _close(tag: str, text: BuiltText) -> None:
    if tag in HEADINGS:
        text.close_heading()
    else:
        _break(tag, text)


def _break(tag: str, text: BuiltText) -> None:
    if tag in PARAGRAPHS:
        text.separate(PARAGRAPH)
    elif tag in LINES:
        text.separate(LINE)
