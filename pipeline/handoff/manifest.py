"""handoff.json: what a folder that was handed over is, and the files that it had."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.exports_manifest import BrokenManifestError, Split, SplitCounts

HANDOFF_FILE = "handoff.json"


class NoHandoffError(FileNotFoundError):
    """A folder is no finished handoff."""

    exit_code: ClassVar[int] = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LostRows(_Frozen):
    """Rows that are not handed over, for one reason."""

    reason: str
    rows: int


class HandoffManifest(_Frozen):
    """What a folder holds, and for whom."""

    export_id: str
    trainer: str
    version: str  # of the trainer: the one that its rules were tried with
    form: str
    complete: bool
    """Whether the rows are there; else only what would be lost."""
    rows: int
    """Of the export in this dialect: turns that can be trained together are one."""
    counts: Mapping[Split, SplitCounts]
    """Rows and tokens that are handed over, as the trainer will hold them."""
    lost: tuple[LostRows, ...]
    """The most frequent reason first."""
    files: Mapping[str, str]
    """Path of every other file in the folder → its SHA-256, hex."""

    @property
    def lost_rows(self) -> int:
        """How many rows are not handed over."""
        return sum(each.rows for each in self.lost)


def read_handoff(folder: Path) -> HandoffManifest:
    """Read what a folder is.

    Raises:
        NoHandoffError: if it is none, or one that was never finished.
        BrokenManifestError: if its file cannot be understood.
    """
    path = folder / HANDOFF_FILE
    if not path.is_file():
        raise NoHandoffError(f"{path} does not exist: {folder} is not a finished handoff")
    try:
        return HandoffManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BrokenManifestError(f"{path} is not one this version can read: {error}") from error
