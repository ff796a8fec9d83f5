"""Paragraphs, tables and headings of Word files are read as a reader sees them."""

import io
import zipfile
from typing import Any

import pytest

from pipeline.documents import docx_text
from pipeline.documents.docx_text import read_docx
from pipeline.documents.extracted import UnreadableDocumentError

docx = pytest.importorskip("docx")

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def saved(document: Any) -> bytes:  # noqa: ANN401 - of a package that is not installed everywhere
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def with_body(inside: str) -> bytes:
    """A file whose body is this XML."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved(docx.Document()))) as old,
        zipfile.ZipFile(out, "w") as new,
    ):
        for name in old.namelist():
            body = f"<w:document {W}><w:body>{inside}</w:body></w:document>".encode()
            new.writestr(name, body if name == "word/document.xml" else old.read(name))
    return out.getvalue()


def test_headings_paragraphs_and_tables_come_in_their_order() -> None:
    document = docx.Document()
    document.add_heading("All of it", 0)
    document.add_heading("One", 1)
    document.add_paragraph("First\tline\nsecond.")
    table = document.add_table(2, 2)
    for at, word in enumerate(("a", "b", "c", "d")):
        table.cell(at // 2, at % 2).text = word
    document.add_heading("Deep", 2)
    document.add_paragraph("")
    document.add_paragraph("End.")
    found = read_docx(saved(document))
    assert found.text == "All of it\n\nOne\n\nFirst\tline\nsecond.\n\na\tb\nc\td\n\nDeep\n\nEnd."
    assert [(each.level, each.title) for each in found.headings] == [
        (0, "All of it"),
        (1, "One"),
        (2, "Deep"),
    ]
    assert all(found.text[each.at :].startswith(each.title) for each in found.headings)


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (
            "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:t>old</w:t></w:r></w:del></w:p>",
            "new",
        ),
        ("<w:p><w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p>", "link"),
        (
            "<w:sdt><w:sdtContent><w:p><w:r><w:t>field</w:t></w:r></w:p></w:sdtContent></w:sdt>",
            "field",
        ),
        (
            "<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>a</w:t><w:noBreakHyphen/><w:t>b</w:t></w:r></w:p>",
            "a-b",
        ),
        ("<w:p><w:r><w:t>out</w:t><w:p><w:r><w:t>in</w:t></w:r></w:p></w:r></w:p>", "out\n\nin"),
        (
            '<w:p><w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/'
            'markup-compatibility/2006"><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>'
            "<mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback>"
            "</mc:AlternateContent></w:r></w:p>",
            "box",
        ),
    ],
)
def test_text_is_found_wherever_it_stands(inside: str, text: str) -> None:
    assert read_docx(with_body(inside)).text == text


def test_a_paragraph_may_be_a_heading_by_its_outline() -> None:
    outline = '<w:p><w:pPr><w:outlineLvl w:val="{}"/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>'
    found = read_docx(with_body(outline.format(1, "Head") + outline.format(9, "Body")))
    assert [(each.level, each.title) for each in found.headings] == [(2, "Head")]


@pytest.mark.parametrize(
    "data",
    [
        saved(docx.Document())[:900],
        b"PK\x03\x04rest",
        with_body("<w:p>").replace(b"word/", b"wurd/"),
    ],
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableDocumentError, match="save it anew") as caught:
        read_docx(data)
    assert caught.value.reason == "damaged"


def test_what_unpacks_to_more_than_is_read_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(docx.Document())
    monkeypatch.setattr(docx_text, "MOST_BYTES", 1000)
    with pytest.raises(UnreadableDocumentError, match="bytes unpacked, more than 1000") as caught:
        read_docx(data)
    assert caught.value.reason == "too_large"
