"""The proof that an export is what its manifest promises: hashed and counted again, from its files.

Needs pyarrow and no database: a machine that only trains can do it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.exports_manifest import (
    DATA_FOLDER,
    IGNORED,
    MANIFEST_FILE,
    PREFERENCES_FOLDER,
    SPLITS,
    TOKENS_FOLDER,
    ExportManifest,
    RejectedCounts,
    Split,
    SplitCounts,
    export_identity,
    hash_file,
    read_manifest,
)


@dataclass(frozen=True, slots=True)
class ExportProblem:
    """One way in which an export is not what its manifest says."""

    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


@dataclass(slots=True)
class Recount:
    """Counts taken from the Parquet files themselves."""

    splits: dict[Split, SplitCounts]
    sources: Counter[tuple[str, str | None]]
    repeated: list[str]  # examples that stand in the export more than once, in either split


def verify_export(directory: Path) -> list[ExportProblem]:
    """Hash and count an export again; what disagrees with its manifest.

    Returns:
        An empty list where everything agrees. Missing, changed and foreign data files come first,
        then counts. Where files are missing or changed, rows are not counted.
    """
    try:
        manifest = read_manifest(directory)
    except (FileNotFoundError, ValueError) as error:
        return [ExportProblem(MANIFEST_FILE, str(error))]
    problems = [*_check_files(directory, manifest), *_check_foreign(directory, manifest)]
    if export_identity(manifest) != manifest.export_id:
        problems.append(ExportProblem(MANIFEST_FILE, "export_id does not follow from its content"))
    return problems or _check_counts(directory, manifest)  # counts of other files say nothing


def _check_files(directory: Path, manifest: ExportManifest) -> list[ExportProblem]:
    problems: list[ExportProblem] = []
    for file in manifest.files:
        path = directory / file.path
        if not path.is_file():
            problems.append(ExportProblem(file.path, "is missing"))
        elif (size := path.stat().st_size) != file.bytes:  # told before anything is hashed
            problems.append(ExportProblem(file.path, f"has {size} bytes, expected {file.bytes}"))
        elif (found := hash_file(path)) != file.sha256:
            problems.append(
                ExportProblem(file.path, f"has SHA-256 {found}, expected {file.sha256}")
            )
    return problems


def _check_foreign(directory: Path, manifest: ExportManifest) -> list[ExportProblem]:
    """Files in the folders of rows that nobody promised: a loader would read them as rows."""
    known = {file.path for file in manifest.files}
    paths = [
        f"{folder}/{path.name}"
        for folder in (DATA_FOLDER, TOKENS_FOLDER, PREFERENCES_FOLDER)
        for path in sorted((directory / folder).glob("*"))
    ]
    return [ExportProblem(path, "is not in the manifest") for path in paths if path not in known]


def read_columns(
    directory: Path, paths: tuple[str, ...], columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """Some columns of Parquet shards, batch by batch."""
    for path in paths:
        with pq.ParquetFile(directory / path) as file:
            yield from file.iter_batches(columns=columns)


def recount(directory: Path, manifest: ExportManifest) -> Recount:
    """Count rows, tokens and sources from the Parquet files."""
    columns = ["example_id", "prompt_tokens", "loss_tokens", "source", "license"]
    splits: dict[Split, SplitCounts] = {}
    sources: Counter[tuple[str, str | None]] = Counter()
    seen: set[str] = set()
    repeated: list[str] = []
    for split in SPLITS:
        counts = SplitCounts()
        for batch in read_columns(directory, manifest.data_files(split), columns):
            table = batch.to_pydict()
            for example_id in table["example_id"]:
                if example_id in seen:  # of both splits: a held-out row must not be trained
                    repeated.append(example_id)
                seen.add(example_id)
            sources.update(zip(table["source"], table["license"], strict=True))
            counts = SplitCounts(  # frozen: made anew for each batch
                rows=counts.rows + batch.num_rows,
                prompt_tokens=counts.prompt_tokens + sum(table["prompt_tokens"]),
                loss_tokens=counts.loss_tokens + sum(table["loss_tokens"]),
            )
        if counts.rows:
            splits[split] = counts
    return Recount(splits, sources, repeated)


class TokenRecount(NamedTuple):
    """Counts taken from the token ids of a split."""

    rows: int
    turns: int
    loss_tokens: int


def recount_tokens(directory: Path, manifest: ExportManifest, split: Split) -> TokenRecount:
    """Count rows, turns and labelled tokens from the token ids of a split.

    Raises:
        ValueError: if a row has not a label and a weight for each token, or a label that is
            another token.
    """
    rows, turns, labelled = 0, 0, 0
    columns = ["turns", "input_ids", "labels", "loss_weights"]
    for batch in read_columns(directory, manifest.data_files(split, TOKENS_FOLDER), columns):
        lengths = pc.list_value_length(batch["input_ids"])
        if any(pc.list_value_length(batch[name]) != lengths for name in ("labels", "loss_weights")):
            raise ValueError("a row has not a label and a weight for each of its tokens")
        # (tokens of the batch,): the rows one behind the other
        ids, labels = pc.list_flatten(batch["input_ids"]), pc.list_flatten(batch["labels"])
        trained = pc.not_equal(labels, IGNORED)
        if not pc.all(pc.equal(ids.filter(trained), labels.filter(trained)), min_count=0).as_py():
            raise ValueError("a label is another token than the one in its place")
        rows += batch.num_rows
        turns += len(pc.list_flatten(batch["turns"]))
        labelled += pc.sum(trained, min_count=0).as_py()
    return TokenRecount(rows, turns, labelled)


def _check_counts(directory: Path, manifest: ExportManifest) -> list[ExportProblem]:
    found = recount(directory, manifest)
    problems: list[ExportProblem] = []
    for split in SPLITS:
        counted, promised = found.splits.get(split, SplitCounts()), manifest.counts(split)
        if counted != promised:
            problems.append(
                ExportProblem(split, f"has {counted}, the manifest promises {promised}")
            )
        problems += _check_tokens(directory, manifest, split)
        problems += _check_rejected(directory, manifest, split)
    promised_sources = {(item.source, item.license): item.rows for item in manifest.sources}
    if dict(found.sources) != promised_sources:
        problems.append(ExportProblem(MANIFEST_FILE, "rows for each source do not add up"))
    if found.repeated:
        names = ", ".join(found.repeated[:5])
        detail = f"{len(found.repeated)} examples stand in it more than once: {names}"
        problems.append(ExportProblem(DATA_FOLDER, detail))
    for file in manifest.files:
        if file.path.endswith(".jsonl"):
            with (directory / file.path).open("rb") as lines:
                count = sum(1 for _ in lines)
            if count != file.rows:
                detail = f"has {count} lines, the manifest promises {file.rows}"
                problems.append(ExportProblem(file.path, detail))
    return problems


def _check_tokens(directory: Path, manifest: ExportManifest, split: Split) -> list[ExportProblem]:
    """The token ids of a split against its turns, of which each is a row of `data/`."""
    if not manifest.pretokenized:
        return []
    path = f"{TOKENS_FOLDER}/{split}"
    try:
        found = recount_tokens(directory, manifest, split)
    except ValueError as error:
        return [ExportProblem(path, str(error))]
    whole = manifest.counts(split)
    rows = manifest.pretokenized.get(split, SplitCounts()).rows
    promised = TokenRecount(rows, whole.rows, whole.loss_tokens)
    if found == promised:
        return []
    said = [f"{r} rows of {t} turns with {n} loss tokens" for r, t, n in (found, promised)]
    return [ExportProblem(path, f"has {said[0]}, the manifest promises {said[1]}")]


def _check_rejected(directory: Path, manifest: ExportManifest, split: Split) -> list[ExportProblem]:
    """The rejected answers of a split, counted again."""
    if not manifest.rejected:
        return []
    rows = tokens = 0
    columns = ["rejected_tokens"]
    for batch in read_columns(directory, manifest.data_files(split), columns):
        counted = batch["rejected_tokens"]
        rows += len(counted) - counted.null_count
        tokens += pc.sum(counted, min_count=0).as_py()
    found = RejectedCounts(rows=rows, loss_tokens=tokens)
    promised = manifest.rejected.get(split, RejectedCounts())
    if found != promised:
        detail = f"has {found} rejected answers, the manifest promises {promised}"
        return [ExportProblem(split, detail)]
    shards = manifest.data_files(split, PREFERENCES_FOLDER)
    pairs = sum(batch.num_rows for batch in read_columns(directory, shards, ["rejected_id"]))
    if shards and pairs != rows:
        detail = f"has {pairs} pairs, and {rows} rows have a rejected answer"
        return [ExportProblem(f"{PREFERENCES_FOLDER}/{split}", detail)]
    return []
