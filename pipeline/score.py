"""Score stage: stored measurements → scorer → one number per example. No model is asked."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.settings import Settings
from scorers import EXAMPLE_ID, SCORERS, Scorer, scorer_settings
from storage.conversations import canonical_json
from storage.database import open_workspace
from storage.measurements import MeasureKey, read_measurements
from storage.scores import read_scores, write_scores
from storage.workspace import Workspace

ScoreKey = tuple[str, int, str]
"""Scorer, version, settings as JSON: the identity of a number."""


class ScoreSettings(Settings):
    """One score."""

    scorer: str = Field(description="A name from scorers/__init__.py.")
    of: str = Field(
        default="", description="Which block of measure.ratings it reads, by name; `rating` only."
    )
    settings: dict[str, Any] = Field(default={}, description="The scorer's own settings.")
    name: str = Field(
        default="", description="What other blocks call it; the scorer's if not given."
    )

    @property
    def label(self) -> str:
        """The name other blocks use."""
        return self.name or self.scorer


def find_scorer(name: str) -> Scorer:
    """Look up a scorer.

    Raises:
        ValueError: if there is none; the message has the nearest name and all of them.
    """
    if name not in SCORERS:
        near = get_close_matches(name, SCORERS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"no scorer named {name!r}.{hint} There are: {', '.join(sorted(SCORERS))}."
        )
    return SCORERS[name]


def measure_name(settings: ScoreSettings) -> str:
    """What the measure that a score reads is called in a run."""
    measure = find_scorer(settings.scorer).measure
    return f"{measure}_{settings.of}" if settings.of else measure


def score_key(settings: ScoreSettings, measures: Mapping[str, MeasureKey]) -> ScoreKey:
    """The key under which a score is stored: it names the measurement the number came from."""
    scorer = find_scorer(settings.scorer)
    resolved = scorer_settings(scorer, settings.settings)
    measure_key = measures[measure_name(settings)].measure_key
    identity = canonical_json({"measure_key": measure_key, "settings": resolved})
    return settings.scorer, scorer.version, identity.decode()


def score_examples(
    workspace: Workspace,
    settings: ScoreSettings,
    measures: Mapping[str, MeasureKey],
    pool: Sequence[str],
) -> dict[str, int]:
    """Score the pool and store the scores; return how many rows are in each state.

    Args:
        workspace: where measurements are read and scores written.
        settings: the scorer and its settings.
        measures: measure name → the key this run measured under.
        pool: example ids, sorted.
    """
    scorer = find_scorer(settings.scorer)
    key = score_key(settings, measures)
    measure = measures[measure_name(settings)]
    with open_workspace(workspace) as con:
        stored_columns = [name for name in scorer.reads if name != EXAMPLE_ID]
        states, columns = read_measurements(con, measure, stored_columns, pool)
        given: dict[str, NDArray[Any]] = {**columns, EXAMPLE_ID: np.array(pool, dtype=object)}
        measured = np.array([state == "ok" for state in states], dtype=bool)
        values = np.full(len(pool), np.nan)
        if measured.any():
            arguments = [given[name][measured] for name in scorer.reads]
            values[measured] = scorer.function(
                *arguments, **scorer_settings(scorer, settings.settings)
            )
        final = [
            "not_applicable" if state == "ok" and np.isnan(value) else state
            for state, value in zip(states, values, strict=True)
        ]
        _, stored = read_scores(con, key, pool)
        if scorer.whole_pool or stored != final:
            write_scores(con, key, pool, values, final)
    return {state: final.count(state) for state in sorted(set(final))}
