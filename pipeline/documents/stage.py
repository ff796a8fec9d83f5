"""Document stage: files → passages by content hash, and a quarantine for files that give none.

A document is known by the hash of its content and how it is read, so to see it again costs the
hash. Files are read one at a time; one that cannot be read costs that file alone.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.documents.extracted import (
    ExtractedText,
    UnreadableDocumentError,
    heading_paths,
)
from pipeline.documents.kinds import (
    READERS,
    SUFFIXES,
    DocumentKind,
    extract_text,
    kind_of,
    lacking_package,
)
from pipeline.documents.passages import PassageSize, PassageSpan, cut_passages
from pipeline.documents.settings import DocumentSettings
from pipeline.documents.tokenizer import load_token_starts
from pipeline.documents.units import TokenStarts
from pipeline.extras import MissingExtraError, install_extra
from pipeline.ingest.rows import UnreadableSourceError
from pipeline.ingest.source_files import hash_source, require_readable
from pipeline.ingest.stage import stored_path
from pipeline.progress import Report, tell_nobody
from scorers.measures.models.loading import ResolvedModel
from storage.conversations import content_hash
from storage.database import Connection, open_workspace
from storage.documents import (
    DocumentCut,
    DocumentPlace,
    Passage,
    StoredDocument,
    read_known_cuts,
    read_refused,
    write_document,
    write_passages,
    write_run_documents,
)
from storage.workspace import Workspace

EXTRA = "documents"


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A file that a recipe names, as it was when the run began."""

    file: str  # as seen from the working directory
    place: DocumentPlace
    kind: DocumentKind | None
    content_hash: str  # empty where it could not be opened
    bytes: int
    size: PassageSize
    fault: str  # why it could not be opened; empty where it could


def identify_documents(
    workspace: Workspace, blocks: Sequence[DocumentSettings], tokenizer: str
) -> list[FoundDocument]:
    """Hash every file that the blocks name, in their order.

    Args:
        workspace: which keeps their paths.
        blocks: of the recipe, placed.
        tokenizer: fingerprint of the model whose tokens are counted.

    Raises:
        MissingExtraError: if a package is not installed that one of them is read with.
    """
    named = [(block, file) for block in blocks for file in block.files()]
    for kind in sorted({kind for _, file in named if (kind := kind_of(file))}):
        if package := lacking_package(kind):
            raise MissingExtraError(
                f"documents of kind {kind} are read with {package}: {install_extra(EXTRA)}"
            )
    return [_identify(workspace, block, file, tokenizer) for block, file in named]


def _identify(
    workspace: Workspace, block: DocumentSettings, file: str, tokenizer: str
) -> FoundDocument:
    """One file; how it is read and cut is part of what it is known by."""
    kind, size, fault = kind_of(file), block.passages.size, ""
    try:
        require_readable(Path(file))
        fingerprint, length = hash_source(Path(file)), os.path.getsize(file)
    except (OSError, UnreadableSourceError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        fingerprint, length, fault = "", 0, str(why)
    # A name that is no text cannot be stored: it is shown instead.
    path = stored_path(workspace, file).encode(errors="backslashreplace").decode()
    read_as = [kind, READERS[kind].fingerprint] if kind else [Path(path).suffix]
    document_id = content_hash([fingerprint or ["unopened", path], *read_as])[:16]
    cut = [document_id, size.tokens, size.overlap, size.least, tokenizer]
    place = DocumentPlace(
        path, block.name or path, block.license, document_id, content_hash(cut)[:16]
    )
    return FoundDocument(file, place, kind, fingerprint, length, size, fault)


def ingest_documents(
    workspace: Workspace,
    run_id: str | None,
    found: Sequence[FoundDocument],
    model: ResolvedModel,
    report: Report = tell_nobody,
) -> None:
    """Read the documents that the workspace does not have yet, and record all as the run's.

    Args:
        workspace: where they are stored.
        run_id: the run whose documents they are: those alone, whatever it had before; None of a
            plan, which is no run.
        found: from identify_documents.
        model: whose tokens are counted.
        report: told how many files are read.

    Raises:
        UnreadableSourceError: if a file was changed since it was identified.
    """
    with open_workspace(workspace, views=False) as con:
        known, refused = read_known_cuts(con), read_refused(con)
        wanted = {
            each.place.cut_id: each
            for each in reversed(found)  # the first name stays
            if each.place.cut_id not in known and each.place.document_id not in refused
        }
        starts: TokenStarts | None = None
        for done, each in enumerate(reversed(wanted.values())):
            report("ingest: reading documents", done, len(wanted))
            starts = starts or load_token_starts(model)
            _ingest_one(con, each, model.fingerprint, starts)
        if wanted:
            report("ingest: reading documents", len(wanted), len(wanted))
        if run_id is not None:
            write_run_documents(con, run_id, [each.place for each in found])


def _ingest_one(con: Connection, found: FoundDocument, tokenizer: str, starts: TokenStarts) -> None:
    """Store one document with its passages, or why it has none."""
    try:
        text = read_document(found)
        spans = _cut(text, found.size, starts)
    except UnreadableDocumentError as error:
        write_document(con, _stored(found, None, error.reason, error.detail))
        return
    passages = list(_passages(text, spans, found.content_hash))
    size = found.size
    cut = DocumentCut(
        found.place.cut_id,
        found.place.document_id,
        size.tokens,
        size.overlap,
        size.least,
        tokenizer,
        len(passages),
    )
    write_passages(con, _stored(found, text, None, text.remark), cut, passages)


def read_document(found: FoundDocument) -> ExtractedText:
    """The text of a file that is what it was when it was identified.

    Raises:
        UnreadableDocumentError: if it gives none.
        UnreadableSourceError: if it was changed since.
    """
    if found.fault:
        raise UnreadableDocumentError("unreadable", f"{found.fault}: mend it, or leave it out")
    if found.kind is None:
        raise UnreadableDocumentError(
            "unknown_kind",
            f"its suffix is none of {', '.join(SUFFIXES)}: convert it, or name others by a pattern",
        )
    return extract_text(found.file, found.kind, found.content_hash)


def _cut(text: ExtractedText, size: PassageSize, starts: TokenStarts) -> list[PassageSpan]:
    try:
        return cut_passages(text.text, [each.at for each in text.headings], size, starts)
    except ValueError as error:
        raise UnreadableDocumentError("uncuttable", str(error)) from error


def hash_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def passage_id(fingerprint: str, start: int, end: int, text: str) -> str:
    """The id of a passage: of the document's content, where it stands, and what it says."""
    return content_hash([fingerprint, start, end, text])


def _stored(
    found: FoundDocument, text: ExtractedText | None, reason: str | None, detail: str
) -> StoredDocument:
    return StoredDocument(
        document_id=found.place.document_id,
        content_hash=found.content_hash,
        kind=found.kind or "",
        reader=READERS[found.kind].fingerprint if found.kind else "",
        bytes=found.bytes,
        characters=len(text.text) if text else None,
        pages=len(text.pages) or None if text else None,
        text_hash=hash_text(text.text) if text else None,
        reason=reason,
        detail=detail,
    )


def _passages(
    text: ExtractedText, spans: Sequence[PassageSpan], fingerprint: str
) -> Iterator[Passage]:
    paths = heading_paths(text.headings, [span.start for span in spans])
    for position, (span, path) in enumerate(zip(spans, paths, strict=True), start=1):
        words = text.text[span.start : span.end]
        yield Passage(
            position=position,
            passage_id=passage_id(fingerprint, span.start, span.end, words),
            page=text.page_at(span.start),
            last_page=text.page_at(span.end - 1),
            headings=list(path),
            start_at=span.start,
            end_at=span.end,
            tokens=span.tokens,
            text=words,
        )
