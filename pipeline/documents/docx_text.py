"""DOCX: the paragraphs and tables of a document's body, with its headings.

Deleted text is left out and inserted text is in, as the document reads once its changes are taken.
Headers, footers, notes and comments are not read.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.documents.built_text import LINE, PARAGRAPH, BuiltText
from pipeline.documents.extracted import MOST_BYTES, ExtractedText, UnreadableDocumentError

if TYPE_CHECKING:
    from docx.document import Document
    from docx.oxml.xmlchemy import BaseOxmlElement

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"

FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
"""What older programs show in place of what stands beside it."""

SIGNS = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}

UNREAD_PARTS = frozenset((f"{W}del", f"{W}moveFrom", FALLBACK))

BUILT_IN = re.compile(r"heading ([1-9])$", re.IGNORECASE)

DAMAGED = "save it anew from the program that made it"


def read_docx(data: bytes) -> ExtractedText:
    """The text of the body, in its order.

    Raises:
        UnreadableDocumentError: if it is damaged, or larger unpacked than is read.
    """
    _require_bounded(data)
    from docx import Document as open_document

    try:
        document = open_document(io.BytesIO(data))
        return _body_text(document)
    except Exception as error:  # of damaged bytes the parser raises whatever it meets
        raise UnreadableDocumentError(
            "damaged", f"it cannot be read ({type(error).__name__}): {DAMAGED}"
        ) from error


def _require_bounded(data: bytes) -> None:
    """Refuse an archive that is damaged, or would take more memory than a file may."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            unpacked = sum(each.file_size for each in packed.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise UnreadableDocumentError(
            "damaged", f"its archive breaks off or is broken: {DAMAGED}"
        ) from error
    if unpacked > MOST_BYTES:
        raise UnreadableDocumentError(
            "too_large", f"it has {unpacked} bytes unpacked, more than {MOST_BYTES}: split it"
        )


def _body_text(document: "Document") -> ExtractedText:
    levels = _heading_levels(document)
    text = BuiltText()
    row = cell = None
    for paragraph in document.element.body.iter(f"{W}p"):
        above = [each.tag for each in paragraph.iterancestors()]
        if UNREAD_PARTS.intersection(above):
            continue
        now = next(iter(paragraph.iterancestors(f"{W}tr")), None)
        here = next(iter(paragraph.iterancestors(f"{W}tc")), None)
        if now is None or now is not row:
            text.separate(PARAGRAPH if now is None or row is None else LINE)
        elif here is not cell:
            text.tab()
        else:
            text.separate(LINE)
        row, cell = now, here
        _add_paragraph(paragraph, text, levels)
    return text.built()


def _add_paragraph(
    paragraph: "BaseOxmlElement", text: BuiltText, levels: Mapping[str | None, int]
) -> None:
    own = paragraph.find(f"{W}pPr/{W}outlineLvl")
    style = paragraph.find(f"{W}pPr/{W}pStyle")
    level = levels.get(style.get(f"{W}val")) if style is not None else None
    if own is not None:
        level = _outline(own)
    words = _paragraph_words(paragraph)
    if level is None:
        text.add(words, keep_white_space=True)
        return
    text.open_heading(level)
    text.add(words)
    text.close_heading()


def _paragraph_words(paragraph: "BaseOxmlElement") -> str:
    """The text of a paragraph, without that of text boxes in it, which have their own."""
    words = []
    for part in paragraph.iter(f"{W}t", *SIGNS):
        above = []
        for each in part.iterancestors():
            if each is paragraph:
                break
            above.append(each.tag)
        # Tab stops of a paragraph's format are called as tabs in its text are.
        if f"{W}p" not in above and f"{W}pPr" not in above and not UNREAD_PARTS.intersection(above):
            words.append(SIGNS.get(part.tag) or part.text or "")
    return "".join(words)


def _heading_levels(document: "Document") -> dict[str | None, int]:
    """Id of each style that makes headings → its level; its own, or that of what it is based on."""
    own: dict[str | None, int | None] = {}
    based: dict[str | None, str | None] = {}
    for style in document.styles.element.iter(f"{W}style"):
        base = style.find(f"{W}basedOn")
        name = style.get(f"{W}styleId")
        own[name] = _own_level(style)
        based[name] = base.get(f"{W}val") if base is not None else None
    levels = {}
    for name in own:
        above, left = name, len(own)  # a style may be based on itself, by some way round
        while own.get(above) is None and above in based and left:
            above, left = based[above], left - 1
        if (level := own.get(above)) is not None:
            levels[name] = level
    return levels


def _own_level(style: "BaseOxmlElement") -> int | None:
    """The level that a style itself gives, by its built-in name or by its outline."""
    outline, name = style.find(f"{W}pPr/{W}outlineLvl"), style.find(f"{W}name")
    called = name.get(f"{W}val") if name is not None else ""
    if built_in := BUILT_IN.match(called):
        return int(built_in[1])
    if called.lower() == "title":
        return 0
    return _outline(outline) if outline is not None else None


def _outline(element: "BaseOxmlElement") -> int | None:
    """The level of an outline, from 1; None for the body's own, which the format calls 9."""
    level = int(element.get(f"{W}val"))
    return level + 1 if 0 <= level < 9 else None
