"""Preferences: whether a judge finds the repair of a response better than the response."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
import pyarrow as pa
from pydantic import Field

from pipeline.measuring.endpoint import Endpoint, ServedModel, find_served, fingerprint_of
from pipeline.measuring.judge import judge_of
from pipeline.measuring.measure import ExampleInputs, MeasureJob, MeasureScope
from pipeline.measuring.rows import answer_table, template_of
from pipeline.settings import TARGET, Settings
from scorers.measures.models.devices import borrowed_device, resolve_dtype
from scorers.measures.preferences import VERSION, Pair, compare_pairs
from storage.database import Connection, read_workspace
from storage.examples import read_example_table
from storage.measurements import MeasureKey
from storage.repairs import read_repairs

FIELDS = [
    pa.field("verdicts", pa.list_(pa.list_(pa.float64()))),
    pa.field("verdict_mass", pa.list_(pa.float64())),
]


class PreferenceSettings(Settings):
    """A judge's choice between each response and its repair: `preference` needs it."""

    model: str = Field(default=TARGET, description="A model, or the name an endpoint serves.")
    endpoint: Endpoint | None = Field(
        default=None, description="Ask a server instead of loading the model here."
    )


class Preferences(Settings, ExampleInputs):
    """The measure, of rows that were repaired under one generation key."""

    settings: PreferenceSettings
    repairs: str = Field(description="Generation key of the repairs.")
    served: ServedModel | None = None

    def key(self) -> MeasureKey:
        """Judge, template, and which repairs."""
        model = self.settings.model
        return MeasureKey(
            measure="preferences",
            model=model,
            model_fingerprint=fingerprint_of(model, self.served),
            template_fingerprint="" if self.served else template_of(model, "chat"),
            settings={
                "version": VERSION,
                "repairs": self.repairs,
                "dtype": "" if self.served else resolve_dtype(),  # a server does not say
            },
        )

    def anywhere(self) -> bool:
        """A server is asked from one place, which keeps its replies."""
        return self.served is None

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The stored examples with their repairs."""
        examples = read_example_table(con, ids)
        repairs = read_repairs(con, self.repairs, ids)
        texts = [repairs.get(example_id) for example_id in examples["example_id"].to_pylist()]
        return examples.append_column("repair", pa.array(texts, pa.string()))

    def measure(self, examples: pa.Table) -> pa.Table:
        """Compare each response with its repair."""
        rows = examples.to_pylist()
        asked = [as_pair(row) for row in rows if row["repair"] is not None]
        with borrowed_device():
            judge, fits = judge_of(self.settings.model, self.served)
            compared = iter(compare_pairs(asked, judge, fits))
        answers = [no_repair() if row["repair"] is None else asdict(next(compared)) for row in rows]
        return answer_table(examples, answers, FIELDS)


def plan_preferences(
    block: PreferenceSettings, scope: MeasureScope, planned: Mapping[str, MeasureJob]
) -> dict[str, MeasureJob]:
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
    served = find_served(block.endpoint, block.model, scope.workspace.requests)
    measure = Preferences(settings=block, repairs=scope.repairs.key, served=served)
    return {"preferences": MeasureJob(measure, sorted(repaired), len(scope.pool))}


def as_pair(row: dict[str, Any]) -> Pair:
    """What is compared."""
    messages = orjson.loads(row["messages"])
    return Pair(messages[: row["response_at"]], row["response"], row["repair"])


def no_repair() -> dict[str, Any]:
    """The state of an example that was not repaired."""
    return {"state": "not_applicable", "detail": "the example was not repaired"}
