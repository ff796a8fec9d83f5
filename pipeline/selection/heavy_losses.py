"""Steps that take most of a source: few mean to, and a total of all sources does not show it."""

from collections import Counter

import numpy as np

from scorers.arrays import Strings

MOST = 0.5  # share of a source's rows; a step that takes more says so
FEWEST_ROWS = 5  # of a source; of fewer a share says little
NAMED = 5  # sources that are named; a pool may have thousands of them


def heavy_losses(label: str, sources: Strings, reasons: Strings) -> tuple[str, ...]:
    """Say of which sources a step took most of the rows.

    Args:
        label: the step.
        sources: (n,) path of each row's source.
        reasons: (n,) why a row went, "" where it did not.

    Returns:
        A line for each such source, those that lost most rows first; one at last for all others.
    """
    out = np.asarray(reasons != "", dtype=bool)
    if out.sum() <= MOST * FEWEST_ROWS:
        return ()
    rows, gone = Counter(sources.tolist()), Counter(sources[out].tolist())
    heavy = [
        (-count, path)
        for path, count in gone.items()
        if rows[path] >= FEWEST_ROWS and count > MOST * rows[path]
    ]
    lines = []
    for count, path in sorted(heavy)[:NAMED]:
        lines.append(f"{label}: took {-count} of the {rows[path]} rows of {path}")
    if len(heavy) > NAMED:
        lines.append(f"{label}: took most rows of {len(heavy) - NAMED} more sources")
    return tuple(lines)
