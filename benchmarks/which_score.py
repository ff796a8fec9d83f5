"""Which score finds which fault: planted ones, in real rows, for docs/which-score-finds-what.md.

    SLUICE_REAL_DATA=DIR python benchmarks/which_score.py [--work DIR] [--only NAME ...]
        [--quick] [--out FILE]

Alpaca, Dolly and GSM8K, 600 short rows each, a fifth to a third of them spoilt in a known way.
Scores that need no judge are computed of them by a recipe with the embedded 135M model, and each is
asked how well it tells each kind of fault from the rows as they were:

    AUROC          chance that a spoilt row has a higher score than a clean one (ties: half)
    recall at s    share of the faults of a kind among the s rows at the end of the score
    false alarms   share of the clean rows among them

The end of a score is the one where the fault stands, by its AUROC; a score that is asked without
knowing that finds what the other end has. Intervals are 95 %: of an AUROC by a bootstrap over rows,
of shares by Wilson. --work keeps what was measured: the same command goes on from there. --quick
trains no proxy, and leaves its score out.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.planted_faults import (
    ALPACA,
    DOLLY,
    GSM8K,
    ROWS,
    SHARES,
    plant,
    read_pairs,
    write_rows,
)
from benchmarks.real_rows import real_data
from benchmarks.running import RESULTS, SLUICE, machine_facts, write_result

SETS = ("alpaca", "dolly", "gsm8k")
OF_TRAINING = "trajectory_mean"
REMOVED = (0.05, 0.1)
DRAWS = 1000
BOUNDS = {"ifd": 1.0, "ifd_perplexity": 1.0}

RECIPE = """
name: {name}
workspace: work-{name}
target: wheel:smollm2-135m-instruct
sources: [{{path: {name}.jsonl}}]
measure:
  tokens: {{max_tokens: 512}}
  losses: {{max_tokens: 512}}
  embeddings: [{{of: prompt}}, {{of: response}}]
{trained}
scores:
{scores}
select:
  held_out: 0.0
  sensitivity: false
  steps: [{{method: random, budget: {{fraction: 1.0}}}}]
"""

TRAINED = "  trajectories: {epochs: 1, checkpoints: 3, batch_rows: 16, learning_rate: 5.0e-5}"

SCORES: dict[str, str] = {
    "ifd": "{scorer: ifd}",
    "ifd_perplexity": "{scorer: ifd_perplexity}",
    "perplexity": "{scorer: perplexity}",
    "entropy": "{scorer: entropy}",
    "end_of_turn_loss": "{scorer: end_of_turn_loss}",
    "prompt_response_similarity": "{scorer: prompt_response_similarity}",
    "trajectory_mean": (
        "{scorer: sftmix_confidence, settings: {log_mean: true}, name: trajectory_mean}"
    ),
    "response_length": "{scorer: response_length}",
    "prompt_copying": "{scorer: prompt_copying}",
    "terminal_punctuation": "{scorer: terminal_punctuation}",
    "type_token_ratio": "{scorer: type_token_ratio}",
    "mtld": "{scorer: mtld}",
    "special_characters": "{scorer: special_characters}",
    "digit_share": "{scorer: digit_share}",
}


def main() -> None:
    """Measure what is missing, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "which_score.json")
    given = parser.parse_args()
    data = real_data(ALPACA, DOLLY, GSM8K)
    if data is None:
        return
    with TemporaryDirectory() as fresh:
        work = given.work or Path(fresh)
        work.mkdir(parents=True, exist_ok=True)
        wanted = {name: s for name, s in SCORES.items() if name != OF_TRAINING or not given.quick}
        sets = {name: examine(data, work.resolve(), name, wanted) for name in given.only}
    packages = ("torch", "transformers", "numpy")
    write_result(given.out, {"machine": machine_facts(packages), "rows": ROWS, "sets": sets})


def examine(data: Path, work: Path, name: str, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Plant, measure and score one set, and say what each score finds."""
    write_rows(work / f"{name}.jsonl", plant(read_pairs(data, name), name))
    lines = "\n".join(f"  - {line}" for line in wanted.values())
    trained = TRAINED if OF_TRAINING in wanted else ""
    recipe = work / f"{name}.yaml"
    recipe.write_text(RECIPE.format(name=name, scores=lines, trained=trained))
    command = [sys.executable, *SLUICE, "score", str(recipe)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return compare(*read_scored(work, name, list(wanted)))


def compare(faults: NDArray[np.str_], scores: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """What each score finds of each kind of fault."""
    clean = faults == ""
    kinds = {kind: faults == kind for kind in SHARES if (faults == kind).any()}
    return {
        "clean": int(clean.sum()),
        "faults": {kind: int(mask.sum()) for kind, mask in kinds.items()},
        "scores": {
            score: {
                kind: finds(values, mask, clean)
                | above_bound(BOUNDS.get(score, math.inf), values, mask, clean)
                for kind, mask in kinds.items()
            }
            for score, values in scores.items()
        },
    }


def read_scored(
    work: Path, name: str, wanted: Sequence[str]
) -> tuple[NDArray[np.str_], dict[str, NDArray[np.float64]]]:
    """The fault of each row, and its scores, row by row of the file."""
    from storage.database import read_workspace
    from storage.runs import find_run, read_run_sources
    from storage.workspace import Workspace

    faults = json.loads((work / f"{name}.faults.json").read_text())
    with read_workspace(Workspace(work / f"work-{name}")) as con:
        # Of the last run: a workspace that is kept may have had other rows before. The same row
        # twice is one example, with the fault of the row that came first.
        (source,) = read_run_sources(con, find_run(con, None))
        places = con.execute(
            "select example_id, min(position) from occurrences where source_id = ? "
            "group by all order by 2",
            [source],
        ).fetchall()
        ids = [example_id for example_id, _ in places]
        found = {
            score: dict(
                con.execute(
                    "select example_id, value from scores where scorer = ?", [scorer_of(score)]
                ).fetchall()
            )
            for score in wanted
        }
    values = {
        score: np.array([by_id.get(i) if by_id.get(i) is not None else np.nan for i in ids])
        for score, by_id in found.items()
    }
    return np.array([faults[position - 1] for _, position in places]), values


def scorer_of(score: str) -> str:
    """The scorer behind the name of a score."""
    return "sftmix_confidence" if score == OF_TRAINING else score


def finds(
    values: NDArray[np.float64], faulty: NDArray[np.bool_], clean: NDArray[np.bool_]
) -> dict[str, Any]:
    """What a score finds of one kind of fault, beside the rows as they were."""
    known = ~np.isnan(values)
    bad, good = values[faulty & known], values[clean & known]
    if not len(bad) or not len(good):
        return {"auroc": None, "without": int((~known & faulty).sum())}
    area = auroc(bad, good)
    draw = np.random.default_rng(0)
    areas = [auroc(draw.choice(bad, len(bad)), draw.choice(good, len(good))) for _ in range(DRAWS)]
    # From the end where the fault stands: the first rows to go.
    outward = np.where(known, -values if area >= 0.5 else values, np.inf)
    order = np.argsort(outward, kind="stable")
    found: dict[str, Any] = {
        "auroc": [area, *np.quantile(areas, [0.025, 0.975]).tolist()],
        "end": "highest" if area >= 0.5 else "lowest",
        "without": int((~known & faulty).sum()),
    }
    for share in REMOVED:
        gone = order[: int(share * known.sum())]
        found[f"{share:.0%}"] = {
            "recall": wilson(int(faulty[gone].sum()), int(faulty.sum())),
            "false_alarms": wilson(int(clean[gone].sum()), int(clean.sum())),
        }
    return found


def above_bound(
    bound: float,
    values: NDArray[np.float64],
    faulty: NDArray[np.bool_],
    clean: NDArray[np.bool_],
) -> dict[str, Any]:
    """The same of a bound that means something by itself; nothing where a score has none."""
    if math.isinf(bound):
        return {}
    gone = values > bound  # NaN is above nothing
    found = {
        "recall": wilson(int((gone & faulty).sum()), int(faulty.sum())),
        "false_alarms": wilson(int((gone & clean).sum()), int(clean.sum())),
    }
    return {f"above {bound:g}": found}


def auroc(bad: NDArray[np.float64], good: NDArray[np.float64]) -> float:
    """Chance that one of the first is above one of the second; half for ties."""
    ordered = np.sort(good)
    below = np.searchsorted(ordered, bad, side="left")
    through = np.searchsorted(ordered, bad, side="right")
    return float(((below + through) / 2).mean() / len(good))


def wilson(found: int, of: int) -> list[float]:
    """A share with its interval."""
    z, p = 1.96, found / of
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return [p, max(0.0, centre - half), min(1.0, centre + half)]


if __name__ == "__main__":
    main()
