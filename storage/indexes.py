"""Indexes: what deduplication keeps of each row, so that new rows meet the old ones unread.

An index is a folder of Parquet pieces below the workspace's `indexes/`, under a key that has all
its settings. A piece holds some rows, each an example_id and as many whole numbers as the index is
wide; it is written once, under a temporary name that is then changed. Everything in it follows from
examples and measurements: the folder may be deleted at any time, and the next run fills it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.conversations import content_hash
from storage.database import Connection
from storage.error_notes import whole_file
from storage.pool_columns import POOL

SignatureWords = NDArray[np.uint32]

READ = f"""
select n, "values" from {POOL} join read_parquet([{{pieces}}]) using (example_id)
"""

MANY_PIECES = 32  # so many pieces are merged into one: reading opens each of them

CONSTANTS = "constants.npy"


@dataclass(frozen=True, slots=True)
class RowIndex:
    """One index of a workspace."""

    directory: Path
    width: int  # numbers of a row

    def read(self, con: Connection, n: int) -> tuple[SignatureWords, NDArray[np.bool_]]:
        """What is kept of the registered pool of n examples.

        Returns:
            Numbers (n, width), 0 where there are none, and whether there are any (n,).
        """
        values, known = np.zeros((n, self.width), dtype=np.uint32), np.zeros(n, dtype=bool)
        if not (pieces := self._pieces()):
            return values, known
        quoted = ", ".join("'" + str(piece).replace("'", "''") + "'" for piece in pieces)
        # In batches: values of a million rows with 128 numbers are half a gigabyte.
        for batch in con.execute(READ.format(pieces=quoted)).to_arrow_reader(1 << 16):
            rows = batch.column("n").to_numpy()
            numbers = batch.column("values").flatten().to_numpy()
            values[rows] = numbers.reshape(-1, self.width)  # a row twice, after a kill, is equal
            known[rows] = True
        return values, known

    def add(self, ids: Sequence[str], values: SignatureWords) -> None:
        """Keep the numbers (m, width) of m examples that the index does not have."""
        if not len(ids):
            return
        numbers = pa.array(np.ascontiguousarray(values, dtype=np.uint32).ravel())
        # (m + 1,): where the list of each row begins, and where the last ends.
        offsets = pa.array(np.arange(len(ids) + 1, dtype=np.int32) * self.width)
        columns = {
            "example_id": pa.array(ids, pa.string()),
            "values": pa.ListArray.from_arrays(offsets, numbers),
        }
        self._write(pa.table(columns), content_hash(list(ids)))
        if len(pieces := self._pieces()) >= MANY_PIECES:
            self._merge(pieces)

    def constants(self) -> NDArray[np.float32] | None:
        """What all rows have been compared with, as it was stored; None where nothing was."""
        file = self.directory / CONSTANTS
        return np.load(file, allow_pickle=False) if file.exists() else None

    def store_constants(self, values: NDArray[np.float32]) -> None:
        """Keep what all rows are compared with."""
        # An open file, for NumPy would add .npy to the temporary name.
        with whole_file(self.directory / CONSTANTS) as partial, partial.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    def _pieces(self) -> list[Path]:
        return sorted(self.directory.glob("[!.]*.parquet"))  # without what is being written

    def _write(self, table: pa.Table, digest: str) -> None:
        with whole_file(self.directory / f"{digest[:16]}.parquet") as partial:
            pq.write_table(table, partial, compression="none", use_dictionary=False)

    def _merge(self, pieces: Sequence[Path]) -> None:
        """Write pieces as one; a kill before the last is removed leaves rows twice, and equal."""
        self._write(
            pa.concat_tables([pq.read_table(piece) for piece in pieces]),
            content_hash([piece.name for piece in pieces]),
        )
        for piece in pieces:
            piece.unlink()
