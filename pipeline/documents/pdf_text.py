"""PDF: the text of its pages, and where each begins."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.documents.extracted import (
    MOST_TEXT,
    ExtractedText,
    UnreadableDocumentError,
    too_much_text,
)
from pipeline.documents.plain_text import even_lines

BETWEEN = "\n"
"""Between pages: no blank line, for a sentence may go on."""

SHOWN_PAGES = 10

BROKEN = "print it anew, or mend it as with qpdf IN OUT"


def read_pdf(data: bytes) -> ExtractedText:
    """The text of all pages, in their order.

    Raises:
        UnreadableDocumentError: if it is encrypted, damaged, or has no text.
    """
    with _quiet():
        pages = _page_texts(data)
    lacking = [number for number, page in enumerate(pages, start=1) if not page.strip()]
    if len(lacking) == len(pages):
        raise UnreadableDocumentError(
            "no_text",
            f"none of its {len(pages)} pages has text, they may be pictures: have it recognised, "
            "as with ocrmypdf IN OUT",
        )
    starts = [0]
    for page in pages[:-1]:
        starts.append(starts[-1] + len(page) + len(BETWEEN))
    named = ", ".join(map(str, lacking[:SHOWN_PAGES]))
    more = f" and {len(lacking) - SHOWN_PAGES} more" if len(lacking) > SHOWN_PAGES else ""
    remark = f"no text on pages {named}{more}" if lacking else ""
    return ExtractedText(BETWEEN.join(pages), pages=tuple(starts), remark=remark)


def _page_texts(data: bytes) -> list[str]:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError

    texts: list[str] = []
    characters = 0
    try:
        reader = PdfReader(io.BytesIO(data))
        for page in reader.pages:
            texts.append(_whole(page.extract_text()))
            if (characters := characters + len(texts[-1])) > MOST_TEXT:
                raise too_much_text(characters)
    except UnreadableDocumentError:
        raise
    except (FileNotDecryptedError, DependencyError):
        raise UnreadableDocumentError(
            "encrypted", "it needs a password: save it without, as with qpdf --decrypt IN OUT"
        ) from None
    except Exception as error:  # of damaged bytes the parser raises whatever it meets
        where = f"after page {len(texts)}" if texts else "before its first page"
        raise UnreadableDocumentError(
            "damaged", f"it cannot be read {where} ({type(error).__name__}): {BROKEN}"
        ) from error
    if not texts:
        raise UnreadableDocumentError("damaged", f"it has no pages: {BROKEN}")
    return texts


def _whole(text: str) -> str:
    """A text that can be stored: halves of characters, and null, are replaced by U+FFFD."""
    paired = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return even_lines(paired.replace("\0", "\ufffd"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pypdf from saying what it mends, which may have words of the page."""
    log = logging.getLogger("pypdf")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
