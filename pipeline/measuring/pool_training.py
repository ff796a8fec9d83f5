"""Measures whose model is trained on the pool itself, and kept for the rows that come later.

What such a model learnt from is part of its key, so a pool that grew has another key. Its new rows
are read with a stored training all the same, as long as that saw enough of the pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from pipeline.measuring.measure import ExampleInputs
from pipeline.settings import Settings
from storage.database import Connection, read_workspace
from storage.measurements import MeasureKey, read_measured_keys, read_measurements
from storage.workspace import Workspace


class PoolTraining(Settings, ExampleInputs):
    """One training: what the numbers of old and new rows are stored under."""

    pool: str = Field(description="Hash of the examples that it is trained on.")
    directory: Path = Field(description="Where models are kept.")
    note: str = Field(default="", description="What a run says of it.")

    def anywhere(self) -> bool:
        """The models are in the workspace."""
        return False


@dataclass(frozen=True, slots=True)
class StoredTraining:
    """A finished training, and how it stands to a pool."""

    key: MeasureKey
    unseen: int
    """Examples of the pool that it did not learn from, though it could have."""
    missing: int
    """Those of them that have no measurement yet."""


def find_trainings(
    workspace: Workspace, key: MeasureKey, ids: Sequence[str], most_unseen: float
) -> list[StoredTraining]:
    """Finished trainings whose key differs from this one by the pool alone, the best first.

    Best is the one that saw most; among equals the one on this very pool, then the first by key. Of
    the pool's ids a share of at most `most_unseen` may be new to it.
    """
    pool = key.settings["pool"]
    with read_workspace(workspace) as con:
        keys = [
            each
            for each in read_measured_keys(con, key)
            if {**each.settings, "pool": pool} == key.settings
        ]
        stored = [stored_training(con, each, ids) for each in keys]
    near = [each for each in stored if each.unseen / max(1, len(ids)) <= most_unseen]
    # Of two that saw as much this very pool's comes first: False sorts before True.
    return sorted(
        near,
        key=lambda each: (each.unseen, each.key.settings["pool"] != pool, each.key.measure_key),
    )


def stored_training(con: Connection, key: MeasureKey, ids: Sequence[str]) -> StoredTraining:
    """How a finished training stands to the pool with these ids."""
    states, columns = read_measurements(con, key, ["trained"], ids)
    missing = states.count("not_measured")
    # 0: read with a stored model. Null, here NaN: it could not be trained on, and counts as seen.
    return StoredTraining(key, missing + int((columns["trained"] == 0).sum()), missing)
