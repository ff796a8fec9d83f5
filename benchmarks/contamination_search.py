"""One search of the benchmark of contamination, in a process of its own that imports no more."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.contamination.check_files import check_files
from pipeline.contamination.settings import (
    NEAR_COPIES,
    CheckSettings,
    EvaluationSettings,
    NGramSettings,
)

RULES: dict[str, tuple[NGramSettings, ...]] = {
    "sluice": (NGramSettings(),),
    "sluice, and near copies": (NGramSettings(), NEAR_COPIES),
}


def main(arguments: Sequence[str]) -> None:
    """Check a file against another; writes pairs of lines, and the CPU-seconds of the call."""
    rules, rows, evaluation = arguments
    settings = CheckSettings(
        against=(EvaluationSettings(path=evaluation),), ngrams=RULES[rules], leaks=0
    )
    started = time.process_time()
    report, _ = check_files([rows], settings)
    seconds = time.process_time() - started
    pairs = sorted({(int(hit.row.rpartition(":")[2]), hit.item) for hit in report.hits})
    sys.stdout.write(json.dumps({"pairs": pairs, "cpu_seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1:])
