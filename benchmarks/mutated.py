"""Which modules are broken on purpose, which tests stand for each, and what no test can tell."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MODULES = (
    "flows/stages.py",
    "flows/begin_run.py",
    "flows/curate_dataset.py",
    "pipeline/run_context.py",
    "pipeline/*/stage.py",
    "pipeline/evidence/*.py",
    "pipeline/reporting/*.py",
    "pipeline/measuring/cost.py",
    "pipeline/measuring/shard*.py",
    "pipeline/scoring/*.py",
    "pipeline/selection/allocate_budget.py",
    "pipeline/selection/candidates.py",
    "pipeline/selection/run_steps.py",
    "storage/arrivals.py",
    "storage/asked.py",
    "storage/changes.py",
    "storage/examples.py",
    "storage/measurements.py",
    "storage/pool_columns.py",
    "storage/retention.py",
    "storage/runs.py",
    "storage/scores.py",
    "storage/selections.py",
    "storage/sources.py",
)

ALSO = {
    "flows/": ("tests/flows/test_begin_run.py", "tests/flows/test_clean_stage.py"),
    "pipeline/dedupe/stage": ("tests/pipeline/dedupe/test_stored.py",),
    "pipeline/evidence/": ("tests/pipeline/evidence", "tests/pipeline/selection/test_evidence.py"),
    "pipeline/generation/asking": ("tests/pipeline/measuring/test_shard_work.py",),
    "pipeline/measuring/stage": ("tests/pipeline/measuring/test_measure.py",),
    "pipeline/reporting/report": ("tests/pipeline/reporting/test_changes.py",),
    "pipeline/reporting/what_if": ("tests/flows/cli/test_what_if.py",),
    "pipeline/scoring/stage": ("tests/pipeline/scoring/test_targets.py",),
    "pipeline/selection/": (
        "tests/pipeline/selection/test_stage.py",
        "tests/pipeline/test_row_conservation.py",
    ),
    "storage/arrivals": ("tests/pipeline/scoring/test_backfill.py",),
    "storage/retention": ("tests/storage/test_shard_checks.py",),
    "storage/changes": ("tests/pipeline/reporting/test_changes.py",),
    "storage/examples": (
        "tests/storage/test_lineage.py",
        "tests/pipeline/generation/makers/test_answer.py",
    ),
    "storage/measurements": (
        "tests/storage/test_measurement_details.py",
        "tests/pipeline/measuring/test_shards.py",
    ),
    "storage/pool_columns": ("tests/pipeline/selection/test_stage.py",),
    "storage/runs": ("tests/pipeline/reporting/test_changes.py",),
    "storage/selections": (
        "tests/flows/recipe/test_adapters.py",
        "tests/pipeline/selection/test_stage.py",
    ),
    "storage/sources": ("tests/pipeline/ingest/test_stage.py",),
    "storage/": ("tests/storage/test_asked.py",),
}
"""Beginning of a path → tests that stand for it besides those that mirror it."""

EQUIVALENT = {
    (
        "storage/examples.py",
        "union",
    ): "of rows that stand twice the smallest is the same; and to look for them reads all examples",
    (
        "pipeline/scoring/backfill.py",
        'missing[name] = sorted(lacking["example_id"].to_pylist(), reverse=True)',
    ): "a key is made of it: that the order is always the same matters, and not which it is",
    (
        "pipeline/scoring/turn_scores.py",
        "_, *deep = np.shape(columns[scorer.reads[1]])",
    ): "each column that a scorer of turns reads has a value for each turn",
}
"""File and changed line → why no test can tell it from the right one."""


def tests_of(path: str) -> list[str]:
    """The tests that stand for a file: those that mirror it first."""
    module = Path(path)
    mirror = str(Path("tests") / module.parent / f"test_{module.name}")
    also = [test for start, tests in ALSO.items() if path.startswith(start) for test in tests]
    return list(dict.fromkeys(test for test in (mirror, *also) if (ROOT / test).exists()))
