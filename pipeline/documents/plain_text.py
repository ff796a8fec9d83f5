"""Text and Markdown: the file as it is, in UTF-8; of Markdown without the front matter."""

import re
from itertools import pairwise

from markdown_it import MarkdownIt

from pipeline.documents.extracted import ExtractedText, Heading, UnreadableDocumentError

UTF16 = (b"\xff\xfe", b"\xfe\xff")

FRONT_MATTER = re.compile(
    r"---[ \t]*\n(?=[ \t]*[\w\"'-]+[ \t]*:)(?:(?:[ \t#-].*|[\w\"' .-]+:.*|[ \t]*)\n)*?"
    r"(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
)
"""Settings of a page in YAML: a first line with a key, and no line that could be a sentence."""


def decode_text(data: bytes) -> str:
    """The text of a file, its mark of UTF-8 dropped, and ends of lines made alike.

    Raises:
        UnreadableDocumentError: if it is not text in UTF-8.
    """
    if data.startswith(UTF16):
        raise UnreadableDocumentError(
            "not_utf8", "it is UTF-16: convert it, as with iconv -f UTF-16 -t UTF-8"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if b"\0" in data:
            raise UnreadableDocumentError(
                "not_text", f"line {line} is not UTF-8, and there are null bytes: leave it out"
            ) from None
        raise UnreadableDocumentError(
            "not_utf8", f"line {line} is not UTF-8: convert it, as with iconv -f LATIN1 -t UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UnreadableDocumentError(
            "not_text", f"line {line} has a null character, so it is no text: leave it out"
        )
    return even_lines(text)


def even_lines(text: str) -> str:
    """A text whose lines all end in a line feed alone."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_plain_text(data: bytes) -> ExtractedText:
    """A text without any marks of what its parts are."""
    return ExtractedText(decode_text(data))


def read_markdown(data: bytes) -> ExtractedText:
    """Markdown as it was written, with its headings; front matter is left out."""
    text = decode_text(data)
    if front := FRONT_MATTER.match(text):
        text = text[front.end() :]
    lines = [0]
    for line in text.split("\n"):
        lines.append(lines[-1] + len(line) + 1)
    tokens = MarkdownIt("commonmark").parse(text)
    headings = [
        Heading(lines[opened.map[0]], int(opened.tag[1]), " ".join(inside.content.split()))
        for opened, inside in pairwise(tokens)
        if opened.type == "heading_open" and opened.map and opened.level == 0
    ]
    return ExtractedText(text, headings)
