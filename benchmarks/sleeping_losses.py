"""A measure that takes real seconds and no processor: a model on a device of its own, imagined."""

import time
from typing import ClassVar

import pyarrow as pa

from benchmarks.bookkeeping import StubLosses
from storage.measurements import MeasureKey

ROW_TOKENS = 90
"""Of a row as bookkeeping.write_rows writes it, four characters to a token, rounded up."""


class SleepingLosses(StubLosses):
    """Losses of made-up size, after a while."""

    shard_tokens: ClassVar[int] = 100 * ROW_TOKENS

    name: str
    """Of the model; another one has to be asked anew."""
    seconds: float
    """That a shard takes."""

    def key(self) -> MeasureKey:
        """Of no model."""
        return MeasureKey("losses", self.name, self.name, "", {"version": 1})

    def measure(self, examples: pa.Table) -> pa.Table:
        """Wait, then make the numbers up."""
        time.sleep(self.seconds)
        return super().measure(examples)
