"""Text and Markdown are taken as they are, or refused by line."""

import importlib.metadata
from pathlib import Path

import pytest

from pipeline.documents.extracted import UnreadableDocumentError, heading_paths
from pipeline.documents.plain_text import read_markdown, read_plain_text


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"a\nb\xff\n", "not_utf8", "line 2 is not UTF-8"),
        ("caf\u00e9\n".encode("latin-1"), "not_utf8", "line 1"),
        ("text".encode("utf-16"), "not_utf8", "iconv -f UTF-16"),
        (b"a\nb\n\0", "not_text", "line 3 has a null"),
        (b"\x7fELF\xff\0", "not_text", "null bytes"),
    ],
)
def test_what_is_no_text_is_refused_by_line(data: bytes, reason: str, detail: str) -> None:
    with pytest.raises(UnreadableDocumentError, match=detail) as caught:
        read_plain_text(data)
    assert caught.value.reason == reason


def test_marks_and_ends_of_lines_are_made_alike() -> None:
    assert read_plain_text(b"\xef\xbb\xbfa\r\nb\rc\n").text == "a\nb\nc\n"


def test_headings_of_markdown_are_those_a_reader_sees() -> None:
    text = (
        "Top\n===\n\n```\n# code\n```\n\n## Two *words*\n> # quoted\n\n    # indented\n\n"
        "### Deep ###\n# Last"
    )
    found = read_markdown(text.encode())
    assert found.text == text
    titles = [(each.level, each.title) for each in found.headings]
    assert titles == [(1, "Top"), (2, "Two *words*"), (3, "Deep"), (1, "Last")]
    assert [text[each.at :].split()[0] for each in found.headings] == ["Top", "##", "###", "#"]
    places = [0, text.index("indented"), text.index("Deep"), len(text) - 1]
    assert heading_paths(found.headings, places) == [
        ("Top",),
        ("Top", "Two *words*"),
        ("Top", "Two *words*", "Deep"),
        ("Last",),
    ]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("---\ntitle: A b\ntags:\n  - x\n\n# c\n---\n# One\n", "# One\n"),
        ("---\nkey: v\n...\nText", "Text"),
        ("---\nA sentence of the text.\n---\nMore.", None),
        ("---\nkey: v\nA sentence.\n---\nMore.", None),
        ("Text\n---\nkey: v\n---\n", None),
        ("---\nkey: v\n", None),
    ],
)
def test_front_matter_is_left_out_and_no_text_ever(text: str, left: str | None) -> None:
    assert read_markdown(text.encode()).text == (text if left is None else left)


def test_real_markdown_and_licences_are_read() -> None:
    for name in ("markdown-it-py", "pydantic", "httpx"):
        for file in importlib.metadata.files(name) or ():
            if Path(str(file)).suffix in (".md", ".txt"):
                data = Path(str(file.locate())).read_bytes()
                if data.strip():
                    assert read_markdown(data).text.split() == data.decode().split()
