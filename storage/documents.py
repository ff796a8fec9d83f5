"""The `documents`, `document_cuts`, `passages` and `run_documents` tables: files as passages."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from storage.asked import asking_about
from storage.database import Connection, fetch_count, transaction
from storage.rows import TEXT, as_table, fetch_counts, fetch_texts, write_table


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One content of a file and way to read it: its text, or why there is none."""

    document_id: str
    content_hash: str
    kind: str
    reader: str
    bytes: int
    characters: int | None
    pages: int | None
    text_hash: str | None
    reason: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class DocumentCut:
    """One way in which a document is cut into passages."""

    cut_id: str
    document_id: str
    tokens: int
    overlap: int
    least: int
    tokenizer: str
    passages: int


class Passage(NamedTuple):
    """A passage of a document."""

    position: int  # from 1
    passage_id: str
    page: int | None
    last_page: int | None
    headings: list[str]
    start_at: int
    end_at: int
    tokens: int
    text: str


class DocumentPlace(NamedTuple):
    """Where a run found a document, and what it is called there."""

    path: str  # as seen from the workspace
    name: str
    license: str
    document_id: str
    cut_id: str


PASSAGE_COLUMNS: dict[str, pa.DataType] = {
    "cut_id": TEXT,
    "position": pa.int64(),
    "passage_id": TEXT,
    "page": pa.int32(),
    "last_page": pa.int32(),
    "headings": pa.list_(TEXT),
    "start_at": pa.int64(),
    "end_at": pa.int64(),
    "tokens": pa.int32(),
    "text": TEXT,
}

PLACE_COLUMNS = {
    "run_id": TEXT,
    "path": TEXT,
    "name": TEXT,
    "license": TEXT,
    "document_id": TEXT,
    "cut_id": TEXT,
}

ADD_DOCUMENT = """
insert or replace into documents values (
    $document_id, $content_hash, $kind, $reader, $bytes, $characters, $pages, $text_hash,
    $reason, $detail
)
"""

ADD_CUT = """
insert into document_cuts
values ($cut_id, $document_id, $tokens, $overlap, $least, $tokenizer, $passages)
"""

ADD_PASSAGES = "insert into passages by name select * from arriving_passages"

KNOWN_CUTS = "select cut_id from document_cuts"

REFUSED = "select document_id from documents where reason <> 'uncuttable' and content_hash <> ''"

FORGET_PLACES = "delete from run_documents where run_id = $run_id"

ADD_PLACES = "insert into run_documents by name select * from arriving_places"

RUN_PASSAGES = """
select count(*) from passages
where cut_id in (select cut_id from run_documents where run_id = $run_id)
"""

COUNT_PASSAGES = """
select coalesce(sum(passages), 0) from document_cuts where cut_id = any($cuts::varchar[])
"""

RUN_FILES = "select count(distinct path) from run_documents where run_id = $run_id"

REASONS = """
select reason, count(distinct path) from run_documents join documents using (document_id)
where run_id = $run_id and reason is not null group by reason order by reason
"""

QUARANTINED = """
select distinct path, reason, detail from run_documents join documents using (document_id)
where run_id = $run_id and reason is not null order by path
"""

FIND = """
select distinct passage_id from passages where starts_with(passage_id, $start) order by passage_id
"""

PLACES = """
select p.passage_id, r.path, r.name, r.license, d.kind, p.page, p.last_page, p.headings,
       p.start_at, p.end_at, p.tokens, p.position, c.passages, c.tokens as most_tokens, c.overlap,
       c.least, d.document_id, d.content_hash, r.run_id, p.text
from passages p join document_cuts c using (cut_id) join documents d using (document_id)
join run_documents r using (cut_id) join runs using (run_id)
where p.passage_id = $id and ($run is null or r.run_id = $run)
qualify runs.started_at = max(runs.started_at) over ()
order by all
"""

CONTEXT = """
select distinct q.position, q.page, q.start_at, q.end_at, q.text, q.passage_id = p.passage_id as own
from passages p join run_documents using (cut_id)
join passages q on q.cut_id = p.cut_id
    and (q.page between p.page and p.last_page or abs(q.position - p.position) <= 1)
where p.passage_id = $id and run_id = $run and path = $path
order by q.position
"""

# A passage can be in several cuts; what a maker is shown of it is the same in all but its headings.
SOURCE_PASSAGES = """
select distinct on (passage_id) passage_id, document_id, headings, start_at, end_at, text
from passages join document_cuts using (cut_id) {of}
where cut_id = any($cuts::varchar[]) order by passage_id, cut_id, position
"""

MADE_OF = """
with recursive up(ancestor) as (
    select $id union select parent_id from lineage join up on example_id = ancestor
)
select distinct passage_id from passages join up on passage_id = ancestor order by passage_id
"""

OF_DOCUMENTS = """
with recursive up(example_id, ancestor) as (
    select example_id, example_id from asked
    union
    select up.example_id, l.parent_id from up join lineage l on l.example_id = up.ancestor
)
select distinct up.example_id, r.path, r.license
from up join passages p on p.passage_id = up.ancestor join run_documents r using (cut_id)
where r.run_id = $run_id
order by all
"""

# What an export was made of is walked too, though a later run may have other documents.
WALKED = """
with latest as (
    select run_id from runs qualify started_at = max(started_at) over (partition by name)
    union
    select run_id from exports join run_selections using (selection_id)
)
select distinct on (document_id) document_id, path, content_hash, kind, reader, text_hash
from documents join run_documents using (document_id) join latest using (run_id)
where reason is null order by document_id, path
"""

DOCUMENT_PASSAGES = """
select distinct passage_id, start_at, end_at, text
from passages join document_cuts using (cut_id) where document_id = $id order by start_at, end_at
"""


def read_known_cuts(con: Connection) -> set[str]:
    """The cuts whose passages are all here."""
    return set(fetch_texts(con, KNOWN_CUTS))


def count_passages(con: Connection, cuts: Sequence[str]) -> int:
    """How many passages these cuts have, together."""
    return fetch_count(con, COUNT_PASSAGES, {"cuts": list(cuts)})


def read_refused(con: Connection) -> set[str]:
    """Documents that give no text, whenever they are read."""
    return set(fetch_texts(con, REFUSED))


def write_document(con: Connection, document: StoredDocument) -> None:
    """Store a document that gives no passages, and why."""
    con.execute(ADD_DOCUMENT, asdict(document))


def write_passages(
    con: Connection, document: StoredDocument, cut: DocumentCut, passages: Sequence[Passage]
) -> None:
    """Store a document with its passages, all of it or nothing."""
    table = as_table(PASSAGE_COLUMNS, [(cut.cut_id, *passage) for passage in passages])
    with transaction(con):
        con.execute(ADD_DOCUMENT, asdict(document))
        con.execute(ADD_CUT, asdict(cut))
        write_table(con, "arriving_passages", table, ADD_PASSAGES)


def write_run_documents(con: Connection, run_id: str, places: Sequence[DocumentPlace]) -> None:
    """Record the documents of a run, in place of those it had."""
    table = as_table(PLACE_COLUMNS, [(run_id, *place) for place in places])
    with transaction(con):
        con.execute(FORGET_PLACES, {"run_id": run_id})
        write_table(con, "arriving_places", table, ADD_PLACES)


class DocumentCounts(NamedTuple):
    """The documents of a run in numbers."""

    files: int
    passages: int
    quarantined: dict[str, int]  # reason → files


def count_documents(con: Connection, run_id: str) -> DocumentCounts:
    """The files, passages and quarantined files of a run."""
    run = {"run_id": run_id}
    files, passages = fetch_count(con, RUN_FILES, {**run}), fetch_count(con, RUN_PASSAGES, {**run})
    return DocumentCounts(files, passages, fetch_counts(con, REASONS, run))


def list_quarantined_documents(con: Connection, run_id: str) -> list[tuple[str, str, str]]:
    """Path, reason and detail of each file of a run that gave no passages."""
    return [tuple(row) for row in con.execute(QUARANTINED, {"run_id": run_id}).fetchall()]


def find_passages(con: Connection, start: str) -> list[str]:
    """Ids of passages that start so."""
    return fetch_texts(con, FIND, {"start": start})


@dataclass(frozen=True, slots=True)
class SourcePassage:
    """A passage as a maker of rows is given it."""

    passage_id: str
    document_id: str
    headings: Sequence[str]
    """It stands under, outermost first."""
    start_at: int
    """Character of the document's text, from 0."""
    end_at: int
    text: str


def stream_source_passages(
    con: Connection, cuts: Sequence[str], rows: int
) -> Iterator[list[SourcePassage]]:
    """The passages of these cuts by their ids, each once, so many at a time."""
    con.execute(SOURCE_PASSAGES.format(of=""), {"cuts": list(cuts)})
    for batch in con.to_arrow_reader(rows):
        yield [SourcePassage(**row) for row in batch.to_pylist()]


def read_source_passages(
    con: Connection, cuts: Sequence[str], ids: Sequence[str]
) -> list[SourcePassage]:
    """The passages of these cuts that have these ids, in the order of the ids.

    Raises:
        ValueError: if one is in none of the cuts.
    """
    query = SOURCE_PASSAGES.format(of="join asked on asked.example_id = passages.passage_id")
    with asking_about(con, ids):
        rows = con.execute(query, {"cuts": list(cuts)}).to_arrow_table().to_pylist()
    found = {row["passage_id"]: SourcePassage(**row) for row in rows}
    if len(found) != len(ids):
        raise ValueError(f"{len(ids)} passages were asked for, {len(found)} found")
    return [found[each] for each in ids]


def read_passages_of(con: Connection, example_id: str) -> list[str]:
    """Ids of the passages that an example was made of, at whatever remove; sorted."""
    return fetch_texts(con, MADE_OF, {"id": example_id})


class OfDocument(NamedTuple):
    """A document that an example was made of."""

    path: str
    license: str


def read_documents_of(
    con: Connection, ids: Sequence[str], run_id: str
) -> dict[str, list[OfDocument]]:
    """example_id → the documents of a run that it was made of, at whatever remove, sorted.

    One that was made of none is left out.
    """
    if not fetch_count(con, RUN_FILES, {"run_id": run_id}):
        return {}
    with asking_about(con, ids):
        rows = con.execute(OF_DOCUMENTS, {"run_id": run_id}).fetchall()
    found: dict[str, list[OfDocument]] = {}
    for example_id, *document in rows:
        found.setdefault(str(example_id), []).append(OfDocument(*map(str, document)))
    return found


def read_passage_places(
    con: Connection, passage_id: str, run_id: str | None
) -> list[dict[str, Any]]:
    """Everything that is stored of a passage, for each file it stands in.

    Args:
        con: an open workspace.
        passage_id: the whole id.
        run_id: the files that this run found; None for the latest run that has it.
    """
    con.execute(PLACES, {"id": passage_id, "run": run_id})
    names = [str(column[0]) for column in con.description or ()]
    return [dict(zip(names, row, strict=True)) for row in con.fetchall()]


class ContextPart(NamedTuple):
    """A passage of a page, or beside one."""

    position: int
    page: int | None
    start_at: int
    end_at: int
    text: str
    own: bool
    """Whether it is the one that was asked about."""


def read_context(con: Connection, passage_id: str, run_id: str, path: str) -> list[ContextPart]:
    """The passages of the pages that one stands on, and the ones beside it, in their order.

    Args:
        con: an open workspace.
        passage_id: the whole id.
        run_id: that found the file.
        path: of the file, as the run has it.
    """
    asked = {"id": passage_id, "run": run_id, "path": path}
    return [ContextPart(*row) for row in con.execute(CONTEXT, asked).fetchall()]


class WalkedDocument(NamedTuple):
    """A document as it was read."""

    document_id: str
    path: str
    content_hash: str
    kind: str
    reader: str
    text_hash: str


def read_walked_documents(con: Connection) -> list[WalkedDocument]:
    """The documents of the latest run of each recipe, each at one place."""
    return [WalkedDocument(*row) for row in con.execute(WALKED).fetchall()]


def read_document_passages(con: Connection, document_id: str) -> list[tuple[str, int, int, str]]:
    """Id, offsets and text of each passage of a document, however it was cut."""
    rows = con.execute(DOCUMENT_PASSAGES, {"id": document_id}).fetchall()
    return [(str(row[0]), int(row[1]), int(row[2]), str(row[3])) for row in rows]
