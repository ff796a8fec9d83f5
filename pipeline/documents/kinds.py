"""Kinds of documents: told by the suffix and checked by the first bytes; how each is read."""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from pipeline.documents.docx_text import read_docx
from pipeline.documents.extracted import (
    MOST_BYTES,
    MOST_MARKED_UP,
    ExtractedText,
    UnreadableDocumentError,
    require_visible,
)
from pipeline.documents.html_text import read_html
from pipeline.documents.pdf_text import read_pdf
from pipeline.documents.plain_text import read_markdown, read_plain_text
from pipeline.ingest.rows import UnreadableSourceError

DocumentKind: TypeAlias = Literal["text", "markdown", "html", "pdf", "docx"]

SUFFIXES: Mapping[str, DocumentKind] = {
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
}


@dataclass(frozen=True, slots=True)
class DocumentReader:
    """How one kind of document is read."""

    read: Callable[[bytes], ExtractedText]
    version: int  # raised whenever it may make another text of the same file
    package: str | None = None  # the distribution that it needs
    module: str | None = None  # what that is imported as
    most_bytes: int = MOST_MARKED_UP

    @property
    def fingerprint(self) -> str:
        """What decides the text, besides the file: a newer package may give another."""
        return (
            f"{self.version} {self.package} {version(self.package)}"
            if self.package
            else (f"{self.version}")
        )


READERS: Mapping[DocumentKind, DocumentReader] = {
    "text": DocumentReader(read_plain_text, 1),
    "markdown": DocumentReader(read_markdown, 1, "markdown-it-py", "markdown_it"),
    "html": DocumentReader(read_html, 1, "selectolax", "selectolax"),
    "pdf": DocumentReader(read_pdf, 1, "pypdf", "pypdf", MOST_BYTES),
    "docx": DocumentReader(read_docx, 1, "python-docx", "docx", MOST_BYTES),
}

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How files of Word before 2007 begin, and later ones with a password."""

PDF = b"%PDF-"

PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!doctype\s+html|<html[\s>])", re.IGNORECASE)


def kind_of(name: str) -> DocumentKind | None:
    """The kind that the suffix of a file says; None where it says none that is read."""
    return SUFFIXES.get(Path(name).suffix.lower())


def lacking_package(kind: DocumentKind) -> str | None:
    """The package that a kind is read with, if it is not installed."""
    reader = READERS[kind]
    return reader.package if reader.module and find_spec(reader.module) is None else None


def extract_text(file: str, kind: DocumentKind, fingerprint: str) -> ExtractedText:
    """The text of a file whose content has a hash, from the very bytes that were hashed.

    Raises:
        UnreadableDocumentError: if it gives none.
        UnreadableSourceError: if its content has another hash.
    """
    reader = READERS[kind]
    if (length := os.path.getsize(file)) > reader.most_bytes:
        raise UnreadableDocumentError(
            "too_large", f"it has {length} bytes, and {reader.most_bytes} are read: split it"
        )
    data = Path(file).read_bytes()
    if hashlib.sha256(data).hexdigest() != fingerprint:
        raise UnreadableSourceError(
            f"{file} was changed while it was read: nothing of it is taken. Run again once nobody "
            "writes to it"
        )
    require_kind(data, kind)
    return require_visible(reader.read(data))


def require_kind(data: bytes, kind: DocumentKind) -> None:
    """Refuse a file that is empty, has a password, or is of another kind than its name says.

    Raises:
        UnreadableDocumentError: with what to do.
    """
    if not data.strip():
        raise UnreadableDocumentError("empty", "the file has nothing in it: remove it")
    if data.startswith(OLE):
        if kind == "docx":
            raise UnreadableDocumentError(
                "encrypted",
                "it has a password, or is of Word before 2007: save it as .docx without a password",
            )
        raise UnreadableDocumentError(
            "wrong_name", "it is a file of an old Word: save it as .docx, and call it so"
        )
    found = _sniff(data, kind)
    if found is None and kind in ("pdf", "docx"):
        raise UnreadableDocumentError(
            "wrong_name", f"it is no {kind.upper()}: give it the suffix of what it is"
        )
    if found is not None and found != kind:
        suffix = next(suffix for suffix, each in SUFFIXES.items() if each == found)
        raise UnreadableDocumentError(
            "wrong_name", f"it is {found.upper()}: give it the suffix {suffix}"
        )


def _sniff(data: bytes, kind: DocumentKind) -> DocumentKind | None:
    """The kind that the bytes say; None for all that looks like text, or like nothing known."""
    # Other bytes may stand before it; a text that only speaks of it is none.
    if data.startswith(PDF) or (kind == "pdf" and PDF in data[:1024]):
        return "pdf"
    if data.startswith(b"PK\x03\x04"):
        return "docx" if _is_docx(data) else None
    return "html" if PAGE.match(data[:1024]) else None


def _is_docx(data: bytes) -> bool:
    """Whether an archive is a document of Word; a broken one counts as what its name says."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return any(name.startswith("word/") for name in packed.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return b"word/" in data
