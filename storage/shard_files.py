"""Where shards lie: a directory, or a place in an object store, named by a URL.

A worker needs this place and no database. A file is under its name whole or not at all: it is
written on this machine's disk first and then moved, or put into the store as one object.
Credentials are never part of the place; the store's own environment variables and files have them.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.error_notes import whole_file

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+")


class ShardsUnreachableError(OSError):
    """The place of the shards cannot be used; the message says what to do."""

    exit_code: ClassVar[int] = 2


class MissingStorePackageError(ImportError):
    """The package that speaks to the named kind of store is not installed."""

    exit_code: ClassVar[int] = 5


def is_url(place: str) -> bool:
    """Whether a place is in a store, and no directory."""
    return URL.match(place) is not None


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Say what to do about an error of a store.

    Raises:
        ShardsUnreachableError: for any error inside.
    """
    try:
        yield
    except (MissingStorePackageError, ShardsUnreachableError):
        raise
    except Exception as error:  # each store has exceptions of its own
        raise ShardsUnreachableError(
            f"{place} cannot be used for shards: {type(error).__name__}: {error}. See that the "
            "directory or bucket exists, and that the credentials are where the store's own tools "
            "look for them (S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws; "
            "AWS_ENDPOINT_URL for a server other than Amazon's)"
        ) from error


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Files below one place, by names relative to it. A few bytes when sent to a worker."""

    root: str
    """An absolute directory, or a URL such as s3://bucket/prefix; without a slash at its end."""

    def below(self, name: str) -> "ShardFiles":
        """The files of a folder in it."""
        return ShardFiles(f"{self.root}/{name}")

    def address(self, name: str) -> str:
        """The whole path or URL of a file, as DuckDB reads it."""
        return f"{self.root}/{name}"

    def exists(self, name: str) -> bool:
        """Whether the file is there, whole."""
        with explained(self.root):
            return bool(self._store().exists(self._path(name)))

    def names(self) -> list[str]:
        """Names of all files, sorted."""
        return sorted(self.sizes())

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, from one listing."""
        root = self._path("").rstrip("/")
        found = self._store().find(root, detail=True)
        sizes = {path[len(root) + 1 :]: int(each["size"]) for path, each in found.items()}  # + "/"
        # Another process may be writing one; it is no file of ours until it is renamed.
        return {name: size for name, size in sizes.items() if not name.endswith(".partial")}

    def states(self) -> dict[str, str]:
        """What tells each file from one that is written in its place, from one listing."""
        with explained(self.root):
            root = self._path("").rstrip("/")
            found = self._store().find(root, detail=True)
        return {path[len(root) + 1 :]: str(sorted(each.items())) for path, each in found.items()}

    def read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a Parquet file: all of it, or some columns."""
        with explained(self.root), self._store().open(self._path(name), "rb") as file:
            return pq.read_table(file, columns=columns and list(columns))

    def write(self, name: str, table: pa.Table) -> None:
        """Write a table as Parquet."""
        with self._whole(name) as path:
            pq.write_table(table, path, compression="zstd")

    def count_rows(self, name: str) -> int:
        """Rows of a Parquet file, without reading them."""
        with self._store().open(self._path(name), "rb") as file:
            return int(pq.read_metadata(file).num_rows)

    def hash_file(self, name: str) -> str:
        """SHA-256 of a file's bytes, hex."""
        with self._store().open(self._path(name), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def concatenate(
        self, names: Sequence[str], target: str, without: pa.Array | None = None
    ) -> None:
        """Write the rows of files with one schema into one file, a row group at a time.

        Args:
            names: the files.
            target: the new one.
            without: ids of examples whose rows are left out.
        """
        store = self._store()
        with self._whole(target) as path:
            with store.open(self._path(names[0]), "rb") as file:
                schema = pq.read_schema(file)
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for name in names:
                    with store.open(self._path(name), "rb") as file:
                        groups = pq.ParquetFile(file)
                        for group in range(groups.num_row_groups):
                            rows = groups.read_row_group(group)
                            if without is not None:
                                there = pc.is_in(rows["example_id"], without)
                                rows = rows.filter(pc.invert(there))
                            writer.write_table(rows)

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        with suppress(FileNotFoundError):
            self._store().rm_file(self._path(name))

    def read_bytes(self, name: str) -> bytes:
        """What is in a file."""
        return bytes(self._store().cat_file(self._path(name)))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._whole(name) as path:
            path.write_bytes(content)

    def filesystem(self) -> Any:  # noqa: ANN401 - fsspec has no types
        """The file system that DuckDB must be told of; None for a directory.

        It goes by one listing, taken now. Without, DuckDB has the store asked for the size of a
        file some eight times whenever it opens it.
        """
        if not is_url(self.root):
            return None
        with explained(self.root):
            store = self._store(use_listings_cache=True)
            store.invalidate_cache()  # a listing of an earlier run would hide new shards
            store.find(self._path("").rstrip("/"))
        return store

    @contextmanager
    def _whole(self, name: str) -> Iterator[Path]:
        """Give a path on this disk to write; what was written is then under the name."""
        if not is_url(self.root):
            with whole_file(Path(self._path(name))) as partial:
                yield partial
            return
        with tempfile.TemporaryDirectory() as folder:  # an object appears whole when it is put
            partial = Path(folder) / "partial"
            yield partial
            with explained(self.root):
                self._store().put_file(str(partial), self._path(name))

    def _path(self, name: str) -> str:
        """As fsspec wants it: without the protocol."""
        address = self.address(name)
        return str(self._store()._strip_protocol(address)) if is_url(address) else address

    def _store(self, use_listings_cache: bool = False) -> Any:  # noqa: ANN401 - fsspec has no types
        """The file system; fsspec keeps one for each process. Listings are fresh by default."""
        import fsspec

        protocol = self.root.split("://")[0] if is_url(self.root) else "file"
        try:
            return fsspec.filesystem(protocol, use_listings_cache=use_listings_cache)
        except ImportError as error:
            raise MissingStorePackageError(
                f"{protocol}:// needs a package that is not installed ({error}). For S3: "
                "pip install -e '.[s3]' in Sluice's folder; for other stores: the package that "
                "fsspec names"
            ) from error
        except ValueError as error:
            raise ShardsUnreachableError(
                f"no kind of store is called {protocol!r}: name a directory or a URL that fsspec "
                "knows, such as s3://bucket/prefix"
            ) from error
