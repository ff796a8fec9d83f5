"""What a training cost, in cost.json beside its report: seconds, rows, tokens, device, memory.

report.json holds no time, so that a killed and resumed training leaves the same bytes. Its cost is
what differs, so it has a file of its own. What a kill made vain is counted: it was paid for.
"""

import resource
import sys
import time
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict

from fine_tune.files import write_whole

COST_FILE = "cost.json"
SECONDS_BETWEEN_WRITES = 1.0
"""A kill can leave so much of an execution uncounted, and the step that was under way."""


class TrainCost(BaseModel):
    """The cost of a training over all its executions, killed ones among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executions: int = 0
    seconds: float = 0.0
    """From the start of each execution to the last time that its cost was written."""
    rows: int = 0
    """Rows that went through a training step; a row counts again for each pass over it."""
    tokens: int = 0  # tokens of those rows, prompt and response, without padding
    device: str = ""  # of the last execution
    peak_memory_bytes: int = 0
    """Most that the device held for us; on a CPU, most that the whole process held."""


def read_cost(output: Path) -> TrainCost | None:
    """The cost of a training, or None for one of an older version."""
    path = output / COST_FILE
    return TrainCost.model_validate_json(path.read_bytes()) if path.is_file() else None


class CostMeter:
    """Adds one execution to the cost of a training, and writes it down as it grows."""

    def __init__(self, output: Path) -> None:
        """Start the clock and count the execution; `output` is the training's folder."""
        self.path = output / COST_FILE
        before = read_cost(output) or TrainCost()
        self.before = before.model_copy(update={"executions": before.executions + 1})
        self.started = self.written = time.monotonic()
        self.rows = self.tokens = 0
        self.write()  # an execution that is killed before its first step counts as well

    def count(self, rows: int, tokens: int) -> None:
        """Count a batch that went through a training step."""
        self.rows += rows
        self.tokens += tokens
        if time.monotonic() - self.written >= SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> TrainCost:
        """Write what the training has cost up to now."""
        self.written = time.monotonic()
        device, peak = memory_used()
        cost = TrainCost(
            executions=self.before.executions,
            seconds=round(self.before.seconds + self.written - self.started, 3),  # of all
            rows=self.before.rows + self.rows,
            tokens=self.before.tokens + self.tokens,
            device=device,
            peak_memory_bytes=max(self.before.peak_memory_bytes, peak),
        )
        options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
        write_whole(self.path, orjson.dumps(cost.model_dump(mode="json"), option=options))
        return cost


def memory_used() -> tuple[str, int]:
    """What is computed on, and the most bytes it held so far."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0), torch.cuda.max_memory_allocated(0)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return "cpu", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
