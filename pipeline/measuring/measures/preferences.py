"""Preferences: whether a judge finds the repair of a response better than the response."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.endpoint import AskedBlock, ServedMeasure
from pipeline.measuring.judge import judge_of
from pipeline.measuring.measure import Jobs, MeasureJob, MeasureScope
from pipeline.measuring.rows import Unmeasured, answer_rows, answer_table, split_row
from scorers.measures.models.devices import borrowed_device
from scorers.measures.preferences import VERSION, Pair, compare_pairs
from storage.database import Connection, read_workspace
from storage.examples import read_example_table
from storage.measurements import MeasureKey
from storage.repairs import read_repairs

FIELDS = [
    pa.field("verdicts", pa.list_(pa.list_(pa.float64()))),
    pa.field("verdict_mass", pa.list_(pa.float64())),
]


class PreferenceSettings(AskedBlock):
    """A judge's choice between each response and its repair: `preference` needs it."""


class Preferences(ServedMeasure):
    """The measure, of rows that were repaired under one generation key."""

    settings: PreferenceSettings
    repairs: str = Field(description="Generation key of the repairs.")

    def key(self) -> MeasureKey:
        """Judge, template, and which repairs."""
        settings = {"version": VERSION, "repairs": self.repairs}
        return self.chat_key("preferences", self.settings.model, settings)

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The stored examples with their repairs."""
        examples = read_example_table(con, ids)
        repairs = read_repairs(con, self.repairs, ids)
        texts = [repairs.get(example_id) for example_id in examples["example_id"].to_pylist()]
        return examples.append_column("repair", pa.array(texts, pa.string()))

    def measure(self, examples: pa.Table) -> pa.Table:
        """Compare each response with its repair."""
        pairs = [as_pair(row) for row in examples.to_pylist()]
        return answer_table(examples, answer_rows(pairs, self.compare), FIELDS)

    def compare(self, pairs: list[Pair]) -> list[Unmeasured]:
        """The judge's verdicts on each pair."""
        with borrowed_device():
            judge, fits = judge_of(self.settings.model, self.served)
            return [asdict(row) for row in compare_pairs(pairs, judge, fits)]


def plan_preferences(block: PreferenceSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of every row that has a repair.

    Raises:
        ValueError: if nothing was repaired.
    """
    if scope.repairs is None:
        raise ValueError(
            "measure.preferences compares responses with their repairs, and this run generated "
            "none: run a recipe with a block {method: repair} under `generate`"
        )
    with read_workspace(scope.workspace) as con:
        repaired = read_repairs(con, scope.repairs.key, scope.pool)
    served = block.find_served(scope.workspace.requests)
    measure = Preferences(settings=block, repairs=scope.repairs.key, served=served)
    return {"preferences": MeasureJob(measure, sorted(repaired), len(scope.pool))}


def as_pair(row: dict[str, Any]) -> Pair | Unmeasured:
    """What is compared."""
    if row["repair"] is None:
        return {"state": "not_applicable", "detail": "the example was not repaired"}
    prompt, response = split_row(row)
    return Pair(prompt, response, row["repair"])
