"""What the stages of one run share: the workspace, which run it is, and which numbers it uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.scoring.targets import NO_TARGETS, Targets
from storage.measurements import MeasureKey
from storage.scores import ScoreKey
from storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run of a recipe in a workspace."""

    workspace: Workspace
    run_id: str
    seed: int
    source_ids: Sequence[str]
    measures: Mapping[str, MeasureKey]
    """Name of a measure in this run → the key its numbers are stored under."""
    scores: Mapping[str, ScoreKey]
    """Name of a score → the key its numbers are stored under."""
    named_sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Path of a source as the recipe writes it → the ids of what lies there."""
    source_paths: Mapping[str, str] = field(default_factory=dict)
    """Id of a source → its path as exports say it; where the workspace has it, if not here."""
    cut_ids: Sequence[str] = ()
    """Cuts of the documents, sorted: makers of rows read their passages."""
    document_paths: Mapping[str, str] = field(default_factory=dict)
    """Path of a document as the workspace has it → as exports say it."""
    repairs: str | None = None
    """Generation key of the repairs; None where the recipe generates none."""
    target_source_ids: Sequence[str] = ()
    """Sources whose rows are examples to be close to."""
    targets: Targets = NO_TARGETS
    """Their examples, none of which is in the pool for that."""

    @property
    def target_ids(self) -> Sequence[str]:
        """Ids of the targets, sorted."""
        return self.targets.ids
