"""What a file is called must be what it is."""

import io
import zipfile

import pytest

from pipeline.documents.extracted import ExtractedText, UnreadableDocumentError, require_visible
from pipeline.documents.kinds import OLE, READERS, SUFFIXES, DocumentKind, kind_of, require_kind


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in names:
            # Without a time: what the tests are called must not differ from process to process.
            packed.writestr(zipfile.ZipInfo(name), b"x")
    return out.getvalue()


PAGE = b"\n<!DOCTYPE html>\n<p>x"


@pytest.mark.parametrize(
    ("data", "kind", "reason", "advice"),
    [
        (b"%PDF-1.7\n", "text", "wrong_name", "suffix .pdf"),
        (b"%PDF-1.7\n", "docx", "wrong_name", "suffix .pdf"),
        (archive("word/document.xml"), "text", "wrong_name", "suffix .docx"),
        (archive("word/document.xml"), "pdf", "wrong_name", "suffix .docx"),
        (archive("xl/workbook.xml"), "docx", "wrong_name", "no DOCX"),
        (b"plain", "pdf", "wrong_name", "no PDF"),
        (PAGE, "markdown", "wrong_name", "suffix .html"),
        (PAGE, "text", "wrong_name", "suffix .html"),
        (OLE + b"x", "docx", "encrypted", "without a password"),
        (OLE + b"x", "text", "wrong_name", "old Word"),
        (b"", "html", "empty", "remove it"),
        (b" \n\t", "pdf", "empty", "remove it"),
    ],
)
def test_another_kind_than_the_name_says_is_refused(
    data: bytes, kind: DocumentKind, reason: str, advice: str
) -> None:
    with pytest.raises(UnreadableDocumentError, match=advice) as caught:
        require_kind(data, kind)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"Files begin with %PDF- or with <html>.", "text"),
        (b"junk before\n%PDF-1.4", "pdf"),
        (archive("word/document.xml"), "docx"),
        (archive("word/document.xml")[:60], "docx"),  # said to be damaged by who reads it
        (b"no markup at all", "html"),
        (PAGE, "html"),
    ],
)
def test_what_may_be_its_kind_is_let_through(data: bytes, kind: DocumentKind) -> None:
    require_kind(data, kind)


def test_kinds_are_told_by_suffix_in_either_case() -> None:
    assert kind_of("a/b.PDF") == "pdf" and kind_of("x.y.Md") == "markdown"
    assert kind_of("pdf") is None and kind_of(".txt.zip") is None
    assert set(SUFFIXES.values()) == set(READERS)


@pytest.mark.parametrize("text", ["", " \n", "\u200b\ufeff\u2060", "\x01\x02"])
def test_a_text_with_nothing_to_see_is_empty(text: str) -> None:
    with pytest.raises(UnreadableDocumentError, match="nothing to read"):
        require_visible(ExtractedText(text))
