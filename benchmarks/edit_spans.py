"""Whether a text that was written as edits of another comes back to the byte, on real texts.

    SLUICE_REAL_DATA=DIR python benchmarks/edit_spans.py [--out FILE]

5,000 Alpaca pairs: the answer as edits of its prompt, which is the hard case, for the two have
little in common; and as edits of itself with each seventh word left out, as in a correction.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.real_rows import ALPACA, alpaca_pairs, real_data
from benchmarks.running import RESULTS, machine_facts, write_result
from pipeline.generation.makers.edit_spans import (
    apply_edits,
    cut_tokens,
    find_edits,
    read_edit_spans,
    write_edit_spans,
)

PAIRS = 5_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Texts as edits of others, and back.")
    parser.add_argument("--out", type=Path, default=RESULTS / "edit_spans.json")
    given = parser.parse_args(arguments)
    data = real_data(ALPACA)
    if data is None:
        return 0
    found: dict[str, object] = {}
    pairs = alpaca_pairs(data, PAIRS)
    changed = [
        ("".join(t for at, t in enumerate(cut_tokens(answer)) if at % 7 != 3), answer)
        for _, answer in pairs
    ]
    for name, texts in (("answer of prompt", pairs), ("answer of itself, changed", changed)):
        began, whole, written = time.process_time(), 0, 0
        for source, target in texts:
            lines = write_edit_spans(find_edits(source, target))
            whole += apply_edits(source, read_edit_spans(lines)) == target
            written += len(lines)
        found[name] = {
            "pairs": len(texts),
            "round_trips": whole,
            "characters_of_edits_per_character": round(
                written / sum(len(target) for _, target in texts), 3
            ),
            "cpu_seconds": round(time.process_time() - began, 1),
        }
    sys.stderr.write(f"{found}\n")
    write_result(given.out, {"trips": found, "machine": machine_facts(())})
    return 0


if __name__ == "__main__":
    sys.exit(main())
