"""Which place a workspace keeps its shards in: its own directory, or one that is named once.

The place is kept in `shards.json`, so that the commands that read need no recipe. A place belongs
to one workspace, for shards are merged and removed: `claim.json` in the place says to which.
"""

import os
from pathlib import Path
from socket import gethostname
from typing import ClassVar

import orjson

from storage.conversations import content_hash
from storage.error_notes import whole_file
from storage.shard_files import ShardFiles, explained, is_url

CLAIM = "claim.json"


class OtherShardLocationError(ValueError):
    """The shards are elsewhere already, or the place belongs to another workspace."""

    exit_code: ClassVar[int] = 2


def find_shard_location(directory: Path) -> ShardFiles:
    """Where the shards of a workspace are.

    Args:
        directory: of the workspace.
    """
    stored = _read(directory / "shards.json")
    return ShardFiles(stored["place"] if stored else os.path.abspath(directory))


def set_shard_location(directory: Path, place: str | None) -> None:
    """Keep the shards of a workspace in a place from now on, and see that it can be written to.

    Args:
        directory: of the workspace.
        place: a directory or a URL; None for where they are, which of a new workspace is its own
            directory.

    Raises:
        OtherShardLocationError: if the shards are elsewhere, or the place is another workspace's.
        ShardsUnreachableError: if the place cannot be written to.
        MissingStorePackageError: if the package for this kind of store is not installed.
    """
    file = directory / "shards.json"
    stored = _read(file)
    if place is None and not stored:
        return
    place = stored["place"] if place is None else absolute(place)
    if stored and stored["place"] != place:
        raise OtherShardLocationError(
            f"the shards of {directory} are in {stored['place']}, and the recipe says {place}. "
            f"Give `shards` that place or leave it out; to move them, copy them to {place} and "
            f"write the new place into {file}"
        )
    if not stored and any((directory / "measurements").rglob("*.parquet")):
        raise OtherShardLocationError(
            f"the shards of {directory} are in the workspace itself, and the recipe says {place}. "
            "Leave `shards` out, or use a new workspace"
        )
    claim = stored["claim"] if stored else content_hash([gethostname(), os.path.abspath(directory)])
    files = ShardFiles(place)
    with explained(place):
        # Two who claim it at the same moment are not told apart.
        taken = orjson.loads(files.read_bytes(CLAIM))["claim"] if files.exists(CLAIM) else None
        if taken is None:
            files.write_bytes(CLAIM, orjson.dumps({"claim": claim}))
    if taken not in (None, claim):
        raise OtherShardLocationError(
            f"{place} has the shards of another workspace: name a place of its own for each"
        )
    if not stored:  # last, so that a place that cannot be used is not kept
        with whole_file(file) as partial:
            partial.write_bytes(orjson.dumps({"place": place, "claim": claim}))


def absolute(place: str) -> str:
    """A place without a slash at its end; a directory from the root of the file system."""
    return place.rstrip("/") if is_url(place) else os.path.abspath(place)


def _read(file: Path) -> dict[str, str]:
    """What a JSON file says; nothing where there is none."""
    return dict(orjson.loads(file.read_bytes())) if file.exists() else {}
