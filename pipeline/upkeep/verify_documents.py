"""Verify documents: read each file again, and find every passage at its place in the same text."""

from pathlib import Path
from typing import get_args

from pipeline.documents.extracted import ExtractedText, UnreadableDocumentError
from pipeline.documents.kinds import READERS, DocumentKind, extract_text, lacking_package
from pipeline.documents.stage import hash_text, passage_id
from pipeline.export.verify import Link
from pipeline.ingest.rows import UnreadableSourceError
from pipeline.ingest.source_files import hash_source
from pipeline.progress import Report, one_by_one, tell_nobody
from storage.database import Connection
from storage.documents import WalkedDocument, read_document_passages, read_walked_documents
from storage.provenance import NAMED
from storage.workspace import Workspace


def verify_documents(
    con: Connection, workspace: Workspace, report: Report = tell_nobody
) -> list[Link]:
    """Walk the documents of the latest run of each recipe, a link for each.

    A file that was moved or changed since is no damage: its passages cannot be walked further.

    Args:
        con: the workspace, open for reading.
        workspace: the same workspace.
        report: told how many files are read.
    """
    documents = read_walked_documents(con)
    return [
        _walk(con, workspace, each) for each in one_by_one("verify: documents", documents, report)
    ]


def _walk(con: Connection, workspace: Workspace, document: WalkedDocument) -> Link:
    passages = read_document_passages(con, document.document_id)
    file = str(workspace.directory / document.path)
    found, closed = _read_again(file, document)
    if found is None:
        shut = f"{len(passages)} passages cannot be walked further: {closed}"
        return Link(document.path, "passages", len(passages), 0, len(passages), (shut,))
    broken = [
        known
        for known, start, end, text in passages
        if found.text[start:end] != text
        or passage_id(document.content_hash, start, end, text) != known
    ]
    details = tuple(f"another text stands there: {known}" for known in broken[:NAMED])
    count = len(broken)
    if hash_text(found.text) != document.text_hash:
        count = count or 1
        details = (*details, "the text of the document is not what was stored of it")
    return Link(document.path, "passages", len(passages), count, details=details)


def _read_again(file: str, document: WalkedDocument) -> tuple[ExtractedText | None, str]:
    """The text of the file now; or none, and why."""
    path = document.path
    kinds: dict[str, DocumentKind] = {kind: kind for kind in get_args(DocumentKind)}
    kind = kinds[document.kind]
    try:
        if hash_source(Path(file)) != document.content_hash:
            return None, f"{path} is changed since"
        if package := lacking_package(kind):
            return None, f"{path} is read with {package}, which is not installed"
        if READERS[kind].fingerprint != document.reader:
            return None, f"{path} was read by another version ({document.reader})"
        return extract_text(file, kind, document.content_hash), ""
    except FileNotFoundError:
        return None, f"{path} is gone"
    except (OSError, UnreadableSourceError) as error:
        return None, f"{path} cannot be read ({type(error).__name__})"
    except UnreadableDocumentError as error:
        return ExtractedText(""), error.detail
