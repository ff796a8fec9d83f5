"""The manifest of an export: what a trainer was promised, and the proof that it is still so.

manifest.json is the last file written into an export, so its being there means that the rest is.
It names every other file with its SHA-256, and counts rows and tokens for each split.
`verify_export` hashes and counts again, from the files alone.

Needs pyarrow and pydantic and no database: a machine that only trains can read it.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import orjson
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from storage.conversations import content_hash

Split: TypeAlias = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")

MANIFEST_FILE = "manifest.json"
DATA_FOLDER = "data"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExportedFile(_Frozen):
    """One file of an export, other than the manifest."""

    path: str  # relative to the export, with forward slashes
    sha256: str
    bytes: int
    rows: int | None  # rows in it; None for a file that holds no rows, such as the card


class SplitCounts(_Frozen):
    """What the trainer will see of one split."""

    rows: int = 0
    prompt_tokens: int = 0  # tokens the loss is not taken on
    loss_tokens: int = 0  # tokens the loss is taken on


class SourceCounts(_Frozen):
    """How many rows of the export came from one source."""

    source: str
    license: str | None  # as the source states it; None where it states none
    rows: int


class ModelIdentity(_Frozen):
    """The model that the tokens were counted for."""

    reference: str  # as the recipe names it
    fingerprint: str
    tokenizer_fingerprint: str
    template: str
    template_fingerprint: str


class ExportManifest(_Frozen):
    """Everything an export promises."""

    manifest_version: Literal[1] = 1
    export_id: str
    """Hash of what is trained and where it was chosen; the same rows chosen by the same selection
    for the same tokenizer give the same id on another machine, in another run, another year."""
    name: str
    selection_id: str
    run_id: str
    parent: str | None
    """The selection or export that this one follows or controls; None where there is none."""
    recipe_hash: str
    seed: int
    model: ModelIdentity
    max_length: int | None
    """Longest row in tokens, prompt and response together, that the trainer may be given."""
    splits: Mapping[Split, SplitCounts]
    sources: tuple[SourceCounts, ...]
    files: tuple[ExportedFile, ...]
    libraries: Mapping[str, str]  # distribution name and version of what wrote the files

    def data_files(self, split: Split) -> tuple[str, ...]:
        """Paths of a split's Parquet shards, in order, relative to the export."""
        prefix = f"{DATA_FOLDER}/{split}-"
        return tuple(file.path for file in self.files if file.path.startswith(prefix))

    def counts(self, split: Split) -> SplitCounts:
        """Counts of a split; zeros for a split that the export does not have."""
        return self.splits.get(split, SplitCounts())


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


def export_identity(manifest: ExportManifest) -> str:
    """Hash of what is trained, and of the selection and recipe it came from.

    Rows enter by the hashes of the JSONL files: Parquet bytes change with the library that wrote
    them, JSON text does not. Run, name, card and library versions are left out.
    """
    rows = {file.path: file.sha256 for file in manifest.files if file.path.endswith(".jsonl")}
    identity = manifest.model_dump(
        include={"selection_id", "recipe_hash", "seed", "parent", "model", "max_length"}
    )
    return content_hash({**identity, "rows": rows, "version": manifest.manifest_version})


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_text(manifest: ExportManifest) -> bytes:
    """The manifest as JSON for people and machines: indented, keys sorted, newline at the end."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(manifest.model_dump(mode="json"), option=options)


def read_manifest(directory: Path) -> ExportManifest:
    """Read the manifest of an export.

    Raises:
        FileNotFoundError: if there is none: no export, or one that was never finished.
        ValueError: if it cannot be understood; the message names the fields.
    """
    path = directory / MANIFEST_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {directory} is not a finished export")
    try:
        return ExportManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path} is not a manifest this version can read: {error}") from error


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
    """Files under data/ that nobody promised: a loader would read them as rows."""
    known = {file.path for file in manifest.files}
    found = sorted(path.name for path in (directory / DATA_FOLDER).glob("*"))
    paths = (f"{DATA_FOLDER}/{name}" for name in found)
    return [ExportProblem(path, "is not in the manifest") for path in paths if path not in known]


def recount(directory: Path, manifest: ExportManifest) -> Recount:
    """Count rows, tokens and sources from the Parquet files."""
    splits: dict[Split, SplitCounts] = {}
    sources: Counter[tuple[str, str | None]] = Counter()
    seen: set[str] = set()
    repeated: list[str] = []
    for split in SPLITS:
        counts = SplitCounts()
        for path in manifest.data_files(split):
            columns = ["example_id", "prompt_tokens", "loss_tokens", "source", "license"]
            with pq.ParquetFile(directory / path) as file:
                for batch in file.iter_batches(columns=columns):
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


def _check_counts(directory: Path, manifest: ExportManifest) -> list[ExportProblem]:
    found = recount(directory, manifest)
    problems: list[ExportProblem] = []
    for split in SPLITS:
        counted, promised = found.splits.get(split, SplitCounts()), manifest.counts(split)
        if counted != promised:
            problems.append(
                ExportProblem(split, f"has {counted}, the manifest promises {promised}")
            )
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
