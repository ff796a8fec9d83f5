"""A run that is looked at: what pages need of it, read once and kept while it stays as it is."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.measuring.faults import count_faults, fault_lines
from pipeline.reporting.what_if import WhatIf
from pipeline.scoring.stage import ScoreSettings, measure_name, score_key
from pipeline.scoring.targets import Targets
from scorers.arrays import Floats, Ints
from storage.changes import DescribedRun, describe_run, find_previous
from storage.database import Connection, open_workspace, read_tables, read_workspace
from storage.evidence import read_evidence
from storage.examples import read_pairs
from storage.measurements import MeasureKey
from storage.retention import read_run_keys
from storage.run_rows import RowFilter, RunRows, find_text, read_run_rows
from storage.runs import (
    ListedRun,
    StageCount,
    in_order,
    list_runs,
    read_counts,
    read_run_targets,
)
from storage.scores import ScoreKey
from storage.selections import StoredSelection, read_run_selections
from storage.views import columns_of
from storage.what_if import has_score
from storage.workspace import Workspace
from storage.workspace_lock import lock_workspace

KEPT_RUNS = 2
"""So many runs are held in memory: of a million rows each takes some hundred MB."""

KEPT_TEXTS = 8

NOTED = {"placements", "unwritten", "unstopped"}
"""Columns of token counts that say what a template did."""

UNKNOWN_FAULTS = "not known: the tokens were counted by a version that did not note it"


@dataclass(frozen=True, slots=True)
class RunMap:
    """Where the rows of a run lie, their embeddings in two dimensions."""

    of: str
    """Which text was embedded."""
    places: NDArray[np.float32]
    """(n, 2) of every row of the run, by id; NaN where there is none."""
    variance: float
    """Share of the variance that two components hold; NaN of other methods."""
    drawn: Ints
    """(m,) the rows that are drawn."""


@dataclass
class OpenedRun:
    """One run."""

    listed: ListedRun
    described: DescribedRun
    counts: Sequence[StageCount]
    """In the order in which the steps were taken."""
    measures: Mapping[str, MeasureKey]
    scores: Mapping[str, ScoreKey]
    evidence: Mapping[str, Any] | None
    selections: Mapping[str, StoredSelection]
    previous: str | None
    rows: RunRows
    spread: dict[str, Floats] = field(default_factory=dict)
    texts: OrderedDict[str, list[str]] = field(default_factory=OrderedDict)
    faults: list[str] | None = None
    maps: dict[str, RunMap] = field(default_factory=dict)

    def values(self, label: str) -> Floats:
        """(rows,) a score of every row, sorted by id; NaN where there is none."""
        if label not in self.spread:
            self.spread[label] = self.rows.values(label)
        return self.spread[label]


@dataclass
class Viewer:
    """A workspace that is looked at."""

    workspace: Workspace
    what_if: Callable[[str, Sequence[str]], WhatIf] | None = None
    """What a run would select with settings, PLACE=VALUE; None where no recipe was given."""
    recipe_file: str = ""
    """As a command would name it."""
    reviewer: str = ""
    """Whose verdicts are stored."""
    runs: OrderedDict[str, OpenedRun] = field(default_factory=OrderedDict)
    lock: RLock = field(default_factory=RLock)
    """One request at a time has the database: one that writes cannot be beside one that reads."""
    map_lock: RLock = field(default_factory=RLock)
    """Of laying rows out, which takes a while, and for which other pages do not wait."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The workspace for reading, for as short as can be: a run may want to write."""
        with self.lock, read_workspace(self.workspace) as con:
            yield con

    @contextmanager
    def reading_tables(self) -> Iterator[Connection]:
        """The same without measurements, which takes less time to open."""
        with self.lock, read_tables(self.workspace) as con:
            yield con

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The workspace for writing, under its lock, which a run has from its start to its end."""
        with (
            self.lock,
            lock_workspace(self.workspace, "review"),
            open_workspace(self.workspace, views=False) as con,
        ):
            yield con

    def list_runs(self) -> list[ListedRun]:
        """All runs, the last first."""
        with self.reading_tables() as con:
            return list_runs(con)

    def open(self, listed: ListedRun) -> OpenedRun:
        """A run, read anew where it has gone on since."""
        with self.lock:
            opened = self.runs.get(listed.run_id)
            if opened is None or opened.listed != listed:
                with self.reading() as con:
                    opened = read_opened(con, listed)
                self.runs[listed.run_id] = opened
            self.runs.move_to_end(listed.run_id)
            while len(self.runs) > KEPT_RUNS:
                self.runs.popitem(last=False)
            return opened

    def having_text(self, opened: OpenedRun, wanted: RowFilter) -> list[str] | None:
        """Ids of the rows with the text that is looked for; None where none is."""
        if not wanted.text:
            return None
        with self.lock:
            if wanted.text not in opened.texts:
                with self.reading_tables() as con:
                    opened.texts[wanted.text] = find_text(con, wanted.text)
            while len(opened.texts) > KEPT_TEXTS:
                opened.texts.popitem(last=False)
            return opened.texts[wanted.text]

    def template_faults(self, opened: OpenedRun) -> list[str]:
        """What the chat template did to the rows of a run, a line each."""
        key = opened.measures.get("token_counts")
        if opened.faults is None and key is not None:
            ids = opened.rows.ids()
            with self.reading() as con:
                if set(columns_of(con, key.measure)) >= NOTED:
                    opened.faults = fault_lines(count_faults(con, key, ids, ids))
                else:
                    opened.faults = [UNKNOWN_FAULTS]
        return opened.faults or []


def read_opened(con: Connection, listed: ListedRun) -> OpenedRun:
    """Read what pages need of a run."""
    run_id = listed.run_id
    described, measures = describe_run(con, run_id), read_run_keys(con, run_id)
    scores = stored_scores(con, described.recipe, run_id, measures)
    return OpenedRun(
        listed=listed,
        described=described,
        counts=in_order(read_counts(con, run_id)),
        measures=measures,
        scores=scores,
        evidence=read_evidence(con, run_id),
        selections=read_run_selections(con, run_id),
        previous=find_previous(con, run_id),
        rows=read_run_rows(con, run_id, scores, measures.get("language")),
    )


def stored_scores(
    con: Connection,
    recipe: Mapping[str, Any],
    run_id: str,
    measures: Mapping[str, MeasureKey],
) -> dict[str, ScoreKey]:
    """The scores of a run that are stored, by the names that its recipe has for them."""
    targets = Targets(read_pairs(con, read_run_targets(con, run_id)))
    settings = [ScoreSettings.model_validate(each) for each in recipe.get("scores", [])]
    keys = {
        each.label: score_key(each, measures, targets)
        for each in settings
        if measure_name(each) in ("", *measures)
    }
    return {label: key for label, key in keys.items() if has_score(con, key)}
