"""Where a workspace keeps its things. A workspace is one directory and can be moved as a whole.

Its shards alone may lie elsewhere: where workers on other machines see them.
"""

from dataclasses import dataclass
from pathlib import Path

from storage.shard_files import ShardFiles
from storage.shard_location import find_shard_location


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory of a workspace."""

    directory: Path

    @property
    def database(self) -> Path:
        """The DuckDB file: everything a person would query."""
        return self.directory / "workspace.duckdb"

    @property
    def measurements(self) -> ShardFiles:
        """Parquet shards with what models said, one folder for each measurement key."""
        return find_shard_location(self.directory).below("measurements")

    @property
    def pending(self) -> ShardFiles:
        """Inputs of measurement tasks that have not been committed yet."""
        return find_shard_location(self.directory).below("pending")

    @property
    def exports(self) -> Path:
        """One folder for each export."""
        return self.directory / "exports"

    @property
    def models(self) -> Path:
        """Proxies and adapters, one folder for each."""
        return self.directory / "models"

    @property
    def evaluations(self) -> Path:
        """Embeddings of evaluation sets, one file for each content and model."""
        return self.directory / "evaluations"

    @property
    def reports(self) -> Path:
        """For each run a report as Markdown, a page as HTML, and a picture of its scores."""
        return self.directory / "reports"

    def histograms_of(self, run_id: str) -> Path:
        """The picture of a run's scores."""
        return self.reports / f"{run_id}.png"

    def page_of(self, run_id: str) -> Path:
        """The page of a run, as one HTML file."""
        return self.reports / f"{run_id}.html"

    @property
    def requests(self) -> Path:
        """Replies of endpoints, so that none is asked for twice; may be deleted at any time."""
        return self.directory / "requests"

    @property
    def indexes(self) -> Path:
        """What is kept of rows to compare new ones with, and to trace; may be deleted any time."""
        return self.directory / "indexes"

    @property
    def lock_folder(self) -> Path:
        """Lock files, and a note of who works on the workspace."""
        return self.directory / "turns"

    @property
    def snapshots(self) -> Path:
        """Answers of databases that sources were read from, one file for each answer."""
        return self.directory / "snapshots"
