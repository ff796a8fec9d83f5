"""Pages of PDF are read in order, or the file is refused with what to do."""

import io

import pytest

from pipeline.documents.extracted import UnreadableDocumentError
from pipeline.documents.pdf_text import read_pdf
from tests.pipeline.documents.files import pdf_bytes

pypdf = pytest.importorskip("pypdf")


def test_pages_are_read_in_order_and_known_by_where_they_begin() -> None:
    found = read_pdf(pdf_bytes(["The first page", "goes on here.", "", "The last."]))
    assert found.text.split("\n") == ["The first page", "goes on here.", "", "The last."]
    assert [found.page_at(found.text.index(word)) for word in ("first", "goes", "last")] == [
        1,
        2,
        4,
    ]
    assert found.page_at(len(found.text) - 1) == 4
    assert found.remark == "no text on pages 3"


def encrypted(password: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf_bytes(["Secret."])))
    writer.encrypt(password, "owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_one_that_only_its_owner_locked_is_read() -> None:
    assert read_pdf(encrypted("")).text == "Secret."


@pytest.mark.parametrize(
    ("data", "reason", "advice"),
    [
        (encrypted("x"), "encrypted", "qpdf --decrypt"),
        (pdf_bytes(["", ""]), "no_text", "none of its 2 pages.*ocrmypdf"),
        (pdf_bytes([]), "damaged", "no pages"),
        (b"%PDF-1.4 and no more", "damaged", "before its first page"),
        (
            pdf_bytes(["One."]).replace(b"<< /Length", b"<< /Filter /No /Length"),
            "damaged",
            "mend it",
        ),
        (
            pdf_bytes(["One."])
            .replace(b"/Type /Pages", b"/Type /Pagez")
            .replace(b"/Kids", b"/Kidz"),
            "damaged",
            "qpdf IN OUT",
        ),
    ],
)
def test_what_cannot_be_read_says_what_to_do(data: bytes, reason: str, advice: str) -> None:
    with pytest.raises(UnreadableDocumentError, match=advice) as caught:
        read_pdf(data)
    assert caught.value.reason == reason


def test_nothing_of_a_page_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    broken = pdf_bytes(["Secret words"]).replace(b"startxref\n", b"startxref\n1")
    assert read_pdf(broken).text == "Secret words"
    assert caplog.records == []
