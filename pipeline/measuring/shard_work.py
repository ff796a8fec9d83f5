"""One piece of work, as a worker does it: files in, one file out, and no database.

A worker may be a thread of the run or a process on another machine. It has the code and the models
itself, so both are compared with those of the run before anything is asked or stored.
"""

import time
from dataclasses import dataclass

from pipeline.code_version import OtherWorkerError, check_code
from pipeline.measuring.measure import Measure
from storage.measurements import MeasureKey
from storage.shard_files import ShardFiles


@dataclass(frozen=True, slots=True)
class Shard:
    """One piece of work: where its files are, what to do, and what the worker must be like."""

    measure: Measure
    key: MeasureKey
    """The measure's key where the work was cut."""
    code: str
    """The version of the code that cut it."""
    pending: ShardFiles
    measurements: ShardFiles
    name: str
    rows: int

    @property
    def input(self) -> str:
        """Name of the input, among those that are pending."""
        return f"{self.key.measure_key}/{self.name}"

    @property
    def output(self) -> str:
        """Name of the result, among the measurements."""
        return f"{self.key.measure}/{self.key.measure_key}/{self.name}"

    def done(self) -> bool:
        """Whether the result is there."""
        return self.measurements.exists(self.output)


@dataclass(frozen=True, slots=True)
class MeasuredShard:
    """A finished piece of work."""

    name: str
    seconds: float


def measure_shard(shard: Shard) -> MeasuredShard:
    """Do one piece of work: read its input, ask the model, write its result. Needs no database.

    Raises:
        OtherWorkerError: if here is other code than where the work was cut, or another model.
        ValueError: if the measure did not answer for exactly the examples it was given.
    """
    check_code(shard.code)
    if shard.done():  # before a kill, or by another worker: it is not asked twice
        return MeasuredShard(shard.name, seconds=0.0)
    check_key(shard)
    examples = shard.pending.read(shard.input)
    started = time.perf_counter()
    answers = shard.measure.measure(examples)
    seconds = time.perf_counter() - started
    if answers["example_id"].to_pylist() != examples["example_id"].to_pylist():
        raise ValueError(f"{shard.key.measure}: the result does not have the examples of its shard")
    keys = [shard.key.measure_key] * len(answers)
    shard.measurements.write(shard.output, answers.append_column("measure_key", [keys]))
    return MeasuredShard(shard.name, seconds)


def check_key(shard: Shard) -> None:
    """Refuse to store numbers under a key that is not theirs.

    Raises:
        OtherWorkerError: if the model is another one here, or would be computed otherwise.
    """
    here, there = shard.key, shard.measure.key()
    if here.measure_key == there.measure_key:
        return
    parts = {
        "model": (here.model_fingerprint, there.model_fingerprint),
        "template": (here.template_fingerprint, there.template_fingerprint),
        **{name: (here.settings[name], there.settings.get(name)) for name in here.settings},
    }
    other = ", ".join(f"{name} {b} instead of {a}" for name, (a, b) in parts.items() if a != b)
    raise OtherWorkerError(
        f"{here.measure} of {here.model}: this worker would measure something else than the run "
        f"asks for: {other}. Put the same model under the same name on every machine; where the "
        "dtype differs, name it in the recipe or start the run on a machine like the workers"
    )
