"""Verify: walk every export back to the lines it came from, and say which link does not hold.

    files         the export's files are those of its manifest
    loading       `load_dataset` gives each row as it stands in the files
    rows          each row is its example, word for word, at its rank in the selection
    examples      each example is stored, and hashes to its id
    origins       each stands in a source of the run, or was made from one that does, or of a
                  passage of its documents
    rejected      each rejected answer is that of an example, to the same prompt, that the run
                  dropped for that reason; of an export that has some
    sources       each source is as it was, and gives the same example at the same position
    measurements  each file of measurements is as it was when it was committed

A source that was moved or changed since is no damage to the workspace: its rows count as not to be
walked further. Everything is read in batches, and each source once for all exports.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from pipeline.export.reading import read_exported_rows, rows_loaded_otherwise
from pipeline.export.settings import REJECTED
from pipeline.ingest.readers import HUB_PREFIX, UnreadableSourceError, source_fingerprint
from pipeline.ingest.stage import read_source
from pipeline.progress import Report, one_by_one, tell_nobody
from storage import provenance
from storage.database import Connection
from storage.exports_check import verify_export
from storage.exports_manifest import SPLITS, read_manifest
from storage.provenance import NAMED, Broken, ExportRecord, ShardRecord
from storage.rejected import StoredAnswer, read_stored_answers
from storage.sources import ReadRow, Source
from storage.workspace import Workspace

ROWS_BETWEEN_REPORTS = 1000

ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Link:
    """One link of one chain: how many rows or files were walked, and what does not hold."""

    of: str
    """The export, relative to the workspace; or the measure."""
    link: str
    walked: int
    broken: int
    """Rows or files that do not hold: damage to the workspace or the export."""
    closed: int = 0
    """Rows that cannot be walked further, for their source is gone or changed since."""
    details: tuple[str, ...] = ()
    """What, by id and path, for the first few."""


def verify_workspace(
    con: Connection, workspace: Workspace, report: Report = tell_nobody
) -> list[Link]:
    """Walk every link of every export, and hash every file of measurements.

    Args:
        con: the workspace, open for reading, its measurements' views not needed.
        workspace: the same workspace.
        report: told what is being read, and how much of it was.
    """
    provenance.prepare_provenance(con)
    links: list[Link] = []
    whole: list[ExportRecord] = []
    for export in one_by_one("verify: exports", provenance.read_export_records(con), report):
        files = walk_files(workspace, export)
        links.append(files)
        if not files.broken:
            links.append(walk_loading(workspace, export))
            links += walk_export(con, workspace, export)
            links += walk_rejected(con, workspace, export)
            whole.append(export)
    for source, rows in provenance.wanted_sources(con):
        read_again(con, workspace, source, rows, report)
    for export in whole:
        links.append(walk_sources(con, workspace, export))
    shards = one_by_one("verify: files of measurements", provenance.read_shard_records(con), report)
    return [*links, *walk_measurements(workspace, shards)]


def walk_files(workspace: Workspace, export: ExportRecord) -> Link:
    """The files of an export against its manifest."""
    problems = verify_export(workspace.directory / export.path)
    named = tuple(str(problem) for problem in problems[:NAMED])
    try:
        files = len(read_manifest(workspace.directory / export.path).files)
    except (FileNotFoundError, ValueError):
        files = 0  # how many there should be is not known; that is a problem of its own above
    return Link(export.path, "files", files, len(problems), details=named)


def walk_loading(workspace: Workspace, export: ExportRecord) -> Link:
    """The rows of an export as a trainer loads them, against its files."""
    folder = workspace.directory / export.path
    manifest = read_manifest(folder)
    others = rows_loaded_otherwise(folder, manifest)
    counted = [*manifest.splits.values(), *manifest.pretokenized.values()]
    found = [("loaded otherwise", Broken(len(others), tuple(others[:NAMED])))]
    return link_of(export, "loading", sum(each.rows for each in counted), found)


def load(con: Connection, workspace: Workspace, export: ExportRecord) -> int:
    """Read the rows of an export into the walk; return how many there are."""
    folder = workspace.directory / export.path
    manifest = read_manifest(folder)
    files: dict[str, list[Path]] = {
        split: [folder / name for name in manifest.data_files(split)] for split in SPLITS
    }
    return provenance.load_export(con, files, manifest.run_id)


def walk_export(con: Connection, workspace: Workspace, export: ExportRecord) -> list[Link]:
    """The links of an export that need nothing but the workspace."""
    rows = load(con, workspace, export)
    manifest = read_manifest(workspace.directory / export.path)
    selections = {
        "train": export.selection_id,
        "validation": provenance.read_held_out(con, manifest.run_id),
    }
    places = [
        provenance.read_out_of_place(con, split, selection_id)
        for split, selection_id in selections.items()
        if selection_id is not None and split in manifest.splits
    ]
    found = {
        "rows": [
            ("not the example of its id", compare_rows(con)),
            (
                "not with each trained turn once",
                provenance.read_lacking_turns(con, export.selection_id),
            ),
            *(("not at its rank in the selection", each) for each in places),
        ],
        "examples": [
            ("not in the workspace", provenance.read_not_stored(con)),
            ("stored content hashes to another id", provenance.read_otherwise_stored(con)),
        ],
        "origins": [
            (
                "in no source of the run, nor made of its documents",
                provenance.read_without_origin(con),
            )
        ],
    }
    return [link_of(export, link, rows, broken) for link, broken in found.items()]


def walk_rejected(con: Connection, workspace: Workspace, export: ExportRecord) -> list[Link]:
    """The rejected answers of an export against the workspace; no link where it has none."""
    folder = workspace.directory / export.path
    manifest = read_manifest(folder)
    if not manifest.rejected:
        return []
    walked, others = 0, []
    for split in manifest.rejected:
        rows = (row for row in read_exported_rows(folder, manifest, split) if row["rejected_id"])
        while some := list(islice(rows, ROWS_AT_ONCE)):
            ids = [row["rejected_id"] for row in some]
            stored = read_stored_answers(con, manifest.run_id, ids)
            walked += len(some)
            others += [
                row["example_id"]
                for row, answer in zip(some, stored, strict=True)
                if not is_same_answer(row, answer)
            ]
    found = [("another answer, or dropped otherwise", Broken(len(others), tuple(others[:NAMED])))]
    return [link_of(export, "rejected", walked, found)]


def is_same_answer(row: dict[str, Any], stored: StoredAnswer) -> bool:
    """Whether an exported row's rejected answer is the stored one, behind the same prompt."""
    if stored.messages is None or stored.tools is None or stored.response_at is None:
        return False
    messages = orjson.loads(stored.messages)[: stored.response_at + 1]
    # What is the worse one of a pair may be chosen itself, as the better one of another.
    reason = REJECTED if stored.rejected else stored.reason
    exported = [
        [*row["prompt"], *row["rejected_answer"]],
        row["tools"] or [],
        row["rejected_reason"],
    ]
    # Written again: see is_same_row.
    return orjson.dumps(exported) == orjson.dumps([messages, orjson.loads(stored.tools), reason])


def link_of(
    export: ExportRecord, link: str, walked: int, found: Sequence[tuple[str, Broken]]
) -> Link:
    """A link with what breaks it, by kind."""
    details = tuple(
        f"{what}: {broken.count} rows, {', '.join(broken.first)}"
        for what, broken in found
        if broken.count
    )
    broken = sum(each.count for _, each in found)
    return Link(export.path, link, walked, broken, details=details)


def compare_rows(con: Connection) -> Broken:
    """Exported rows that are not what the workspace has under their id.

    Turns after the trained one are not exported, and numbers may be spelled in another way.
    """
    count, first = 0, []
    for batch in provenance.rows_to_compare(con):
        for example_id, *texts in batch:
            if not is_same_row(*texts):
                count += 1
                first.append(example_id)
        del first[NAMED:]  # after each batch, so that it stays short however many are wrong
    return Broken(count, tuple(first))


def is_same_row(
    prompt: str, completion: str, tools: str, stored: str, turn: int, stored_tools: str
) -> bool:
    """Whether an exported row says what the stored example says up to the turn it trains."""
    try:
        # Each is a list of JSON texts as DuckDB joins them, with no brackets: one parse for all.
        exported = orjson.loads(f"[[{prompt},{completion}],[{tools}]]")
    except orjson.JSONDecodeError:
        return False
    messages = orjson.loads(stored)[: turn + 1]
    # Written again: 1.5 and 15e-1 are the same then, and other orders of keys are not.
    return orjson.dumps(exported) == orjson.dumps([messages, orjson.loads(stored_tools)])


def read_again(
    con: Connection, workspace: Workspace, source: Source, rows: int, report: Report
) -> None:
    """Read a source once more, and remember which of the wanted rows are others than before.

    The report is told how many of the wanted rows, `rows`, are read.
    """
    hub = source.path.startswith(HUB_PREFIX)
    name = source.path if hub else str(workspace.directory / source.path)
    state = source_state(name, source)
    if state:
        provenance.mark_source(con, source.source_id, state)
        return
    what = f"verify: reading {source.path} again"
    others = find_other_rows(con, name, source, lambda done: report(what, done, rows))
    provenance.mark_positions(con, source.source_id, others)
    report(what, rows, rows)


def source_state(name: str, source: Source) -> str:
    """Why a source cannot be read as it was; empty where it can."""
    try:
        if source_fingerprint(name) != source.content_hash:
            return f"{source.path} is changed since"
    except (UnreadableSourceError, OSError) as error:
        gone = not source.path.startswith(HUB_PREFIX) and not Path(name).exists()
        why = "is gone" if gone else f"cannot be read ({type(error).__name__})"
        return f"{source.path} {why}"
    return ""


def find_other_rows(
    con: Connection, name: str, source: Source, tell: Callable[[int], None]
) -> list[int]:
    """Positions of wanted rows that no longer read to their examples.

    `name` is the source as seen from the working directory; `tell` is given, now and then, how many
    wanted rows are read.
    """
    others: list[int] = []
    again = read_source(name, source)
    row = next(again, None)
    wanted_here = groupby(provenance.wanted_rows(con, source.source_id), key=lambda pair: pair[0])
    for number, (position, wanted) in enumerate(wanted_here):
        if number % ROWS_BETWEEN_REPORTS == 0:
            tell(number)
        while row is not None and row.position < position:  # both rise: one walk over the source
            row = next(again, None)
        found = set()
        if isinstance(row, ReadRow) and row.position == position:
            sides = (row.conversation, row.rejected)
            found = {each.example_id for each in sides if each is not None}
        if any(example_id not in found for _, example_id in wanted):
            others.append(position)
    return others


def walk_sources(con: Connection, workspace: Workspace, export: ExportRecord) -> Link:
    """The rows of an export against what their sources give now."""
    rows = load(con, workspace, export)
    closed = provenance.count_closed_rows(con)
    found = [("the source has another row there", provenance.read_broken_rows(con))]
    link = link_of(export, "sources", rows, found)
    shut = [f"{n} rows cannot be walked further: {state}" for state, n in closed.items()]
    details = (*link.details, *shut[:NAMED])
    return replace(link, closed=sum(closed.values()), details=details)


def walk_measurements(workspace: Workspace, shards: Iterable[ShardRecord]) -> list[Link]:
    """The files of measurements against their rows and hashes, a link for each measure."""
    links = []
    for measure, group in groupby(shards, key=lambda shard: shard.measure):
        files = list(group)
        problems = [(shard.path, broken_link(workspace, shard)) for shard in files]
        details = [f"{path}: {problem}" for path, problem in problems if problem]
        named = tuple(details[:NAMED])
        links.append(Link(measure, "measurements", len(files), len(details), details=named))
    return links


def broken_link(workspace: Workspace, shard: ShardRecord) -> str:
    """What is wrong with a file of measurements; empty where nothing is."""
    files = workspace.measurements
    try:
        if shard.sha256 is not None and files.hash_file(shard.path) != shard.sha256:
            return "its SHA-256 is not what it was when it was committed"
        if (rows := files.count_rows(shard.path)) != shard.rows:
            return f"has {rows} rows, expected {shard.rows}"
    except FileNotFoundError:
        return "is missing"
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read ({type(error).__name__})"
    return ""
