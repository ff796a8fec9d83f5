"""What a trial will take and will see, from a few steps, a few items, and earlier trials."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fine_tune.prepared_rows import load_split
from fine_tune.trained_model import load_trained_model
from fine_tune.trial_steps import plan_training, tokens_read
from flows.prepare_trial import PlannedTraining, PreparedTrial
from pipeline.trials.evaluations import TrialItems, measure_items
from pipeline.trials.power import Spread, guess_spread, spread_of
from scorers.measures.models.loading import resolve_model
from storage.database import read_workspace
from storage.exports_manifest import read_manifest
from storage.trial_items import read_results

TRIED_ROWS, TRIED_ITEMS = 24, 8
"""Rows that the steps of a training are tried on, and items of each evaluation."""


@dataclass(frozen=True, slots=True)
class TrialCost:
    """What a trial will take on this machine, from a few steps and a few items."""

    token_seconds: float
    """Of a token in training."""
    measuring: float
    """Seconds to measure one training by all evaluations."""

    def seconds(self, trainings: Sequence[PlannedTraining]) -> float:
        """Of trainings that are not done yet, each measured."""
        missing = [each for each in trainings if not each.done]
        tokens = sum(
            tokens_read(read_manifest(each.export).trained()["train"], each.settings)
            for each in missing
        )
        return self.token_seconds * tokens + self.measuring * len(missing)

    def looks(self, prepared: PreparedTrial) -> list[float]:
        """Up to each look."""
        return [self.seconds(prepared.trained(seeds)) for seeds in prepared.trial.looks]


def time_trial(prepared: PreparedTrial) -> TrialCost:
    """Try a few steps of the training on rows of the first arm, and a few items."""
    first = next(iter(prepared.arms.values()))[0]
    model = resolve_model(prepared.state.placed.target).path
    counts = read_manifest(first.export).trained()["train"]
    with TemporaryDirectory(prefix="sluice-") as cache:
        own = load_split(first.export, "train", Path(cache))
        columns = own.select_columns(["prompt", "completion", "tools", "source"])
        rows = [*columns.select(range(min(TRIED_ROWS, len(own))))]
    mean = (counts.prompt_tokens + counts.loss_tokens) / counts.rows
    steps = plan_training(model, rows, mean, counts.rows, prepared.trainings[0])
    began = time.monotonic()
    engine = load_trained_model(model, None)
    loading = time.monotonic() - began
    measuring = loading
    for each in prepared.measured:
        some = [*each.items[:TRIED_ITEMS]]
        began = time.monotonic()
        measure_items(engine, TrialItems(each.name, "", each.settings, some, {}))
        tried, whole = sum(i.tokens for i in some), sum(i.tokens for i in each.items)
        measuring += (time.monotonic() - began) / tried * whole
    return TrialCost(steps.seconds / steps.tokens, measuring)


def find_spread(prepared: PreparedTrial) -> Spread | None:
    """How far results by the primary evaluation vary: as an earlier trial found, or as guessed."""
    (primary,) = (each for each in prepared.evaluations if each.name == prepared.trial.decides)
    metric = primary.settings.primary_metric
    with read_workspace(prepared.state.run.workspace) as con:
        results = read_results(con)
    for result in results:
        for table in result["tables"]:
            if (table["evaluation_id"], table["metric"]) != (primary.evaluation_id, metric):
                continue
            for row in table["rows"]:
                if found := spread_of(row, table["clusters"], result["seeds"]):
                    return found
    return guess_spread(metric, primary.clusters)
