"""The manifest of an export: what a trainer was promised.

manifest.json is the last file written into an export, so its being there means that the rest is.
It names every other file with its SHA-256, and counts rows and tokens for each split;
storage/exports_check.py hashes and counts again.

Needs pydantic and no database: a machine that only trains can read it.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from storage.conversations import content_hash

Split: TypeAlias = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")

MANIFEST_FILE = "manifest.json"
DATA_FOLDER = "data"
TOKENS_FOLDER = "tokens"
PRETOKENIZED = "pretokenized"
"""What `load_dataset` is told to get the rows of TOKENS_FOLDER."""

PREFERENCES = PREFERENCES_FOLDER = "preferences"
"""The same of the rows that have a rejected answer, in TRL's preference format."""

SCORE_PREFIX = "score_"
"""Before the name of a score: its column in the rows of an export."""

IGNORED = -100
"""Label of a token that no loss is taken on."""


class NoExportError(FileNotFoundError):
    """A folder is no finished export."""

    exit_code: ClassVar[int] = 2


class BrokenManifestError(ValueError):
    """The manifest of an export cannot be understood; the message names the fields."""

    exit_code: ClassVar[int] = 3


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


class RejectedCounts(_Frozen):
    """Rows of a split that have a rejected answer beside them."""

    rows: int = 0
    loss_tokens: int = 0  # of the rejected answers


class SourceCounts(_Frozen):
    """How many rows of the export came from one source."""

    source: str
    license: str | None  # as the source states it; None where it states none
    rows: int


class TemplateFaults(_Frozen):
    """What a chat template does to rows that are not written as they are."""

    refused: Mapping[str, int] = {}
    """Why rows of the pool cannot be trained, the most frequent reason first → how many."""
    placements: Mapping[str, int] = {}
    """`in_place`, `stop_differs` or `rewritten` → trained turns of the exported rows."""
    unwritten: Mapping[str, int] = {}
    """Part that the template leaves out → exported rows that have it."""
    unstopped: int = 0
    """Exported rows with a trained turn that no control token ends."""


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
    pretokenized: Mapping[Split, SplitCounts] = {}
    """Of the same turns as token ids, where the export has them: a dialogue is one row there, and
    what is read is counted once; the loss tokens are those of `splits`."""
    rejected: Mapping[Split, RejectedCounts] = {}
    """Of the splits that have rejected answers, where the export was asked for them."""
    template_faults: TemplateFaults = TemplateFaults()
    sources: tuple[SourceCounts, ...]
    files: tuple[ExportedFile, ...]
    libraries: Mapping[str, str]  # distribution name and version of what wrote the files

    def data_files(self, split: Split, folder: str = DATA_FOLDER) -> tuple[str, ...]:
        """Paths of a split's Parquet shards in a folder, in order, relative to the export."""
        prefix = f"{folder}/{split}-"
        return tuple(file.path for file in self.files if file.path.startswith(prefix))

    def counts(self, split: Split) -> SplitCounts:
        """Counts of a split; zeros for a split that the export does not have."""
        return self.splits.get(split, SplitCounts())

    def trained(self) -> Mapping[Split, SplitCounts]:
        """Counts of the rows that a training reads: the token ids, where there are some."""
        return self.pretokenized or self.splits


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


def example_of(row_id: str) -> str:
    """The id of the example that a row of an export is a turn of."""
    return row_id.partition("-")[0]  # an example's id is hexadecimal


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
        NoExportError: if there is none: no export, or one that was never finished.
        BrokenManifestError: if it cannot be understood; the message names the fields.
    """
    path = directory / MANIFEST_FILE
    if not path.is_file():
        raise NoExportError(f"{path} does not exist: {directory} is not a finished export")
    try:
        return ExportManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BrokenManifestError(
            f"{path} is not a manifest this version can read: {error}"
        ) from error
