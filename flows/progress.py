"""What a run says of itself: one line at a time, to stderr and to the run page's log.

On a terminal every line is shown; elsewhere one every few seconds is enough. Counts and paths are
said, never the content of a row.
"""

import sys
import time
from contextlib import suppress

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

SECONDS_BETWEEN_LINES = 5.0

_last_said: dict[str, float] = {}


def say(line: str, *, again: bool = False) -> None:
    """Say a line of progress.

    Args:
        line: what is being done, "STAGE: …"; lines of one stage that follow within seconds are
            left out where nobody watches.
        again: say it however soon it comes.
    """
    with suppress(MissingContextError):  # outside a run there is no page to write to
        get_run_logger().info(line)
    stage = line.partition(":")[0]
    now = time.monotonic()
    terminal = sys.stderr.isatty()
    if not terminal and not again and now - _last_said.get(stage, -60.0) < SECONDS_BETWEEN_LINES:
        return
    _last_said[stage] = now
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
