"""A part of the pool: which rows it has, and that a larger one contains a smaller one."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.measuring.measure import choose_subset
from pipeline.run_context import RunContext
from pipeline.settings import Subset
from storage.database import read_workspace
from storage.examples import read_response_lengths
from tests.stage_runner import start


@pytest.fixture
def pool(tmp_path: Path) -> tuple[RunContext, list[str]]:
    """Responses of 1 to 9 characters, and a prompt without one."""
    rows = [{"prompt": f"q{n}", "completion": "x" * n} for n in range(1, 10)]
    lines = [*map(json.dumps, rows), json.dumps({"messages": [{"role": "user", "content": "q"}]})]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return start(tmp_path / "w", [tmp_path / "rows.jsonl"])


def lengths(pool: tuple[RunContext, list[str]], part: Subset, seed: int = 0) -> list[int]:
    """Characters of the responses of a part, in its order."""
    run, ids = pool
    chosen = choose_subset(run.workspace, part, ids[::-1], seed)
    assert chosen == sorted(chosen)
    with read_workspace(run.workspace) as con:
        found = read_response_lengths(con, chosen)
    return [found[each] for each in chosen]


def test_the_longest_response_is_within(pool: tuple[RunContext, list[str]]) -> None:
    assert sorted(lengths(pool, Subset(rows=99, longest_response=4))) == [1, 2, 3, 4]


def test_without_a_bound_all_that_have_a_response_may_be_in_it(
    pool: tuple[RunContext, list[str]],
) -> None:
    assert sorted(lengths(pool, Subset(rows=99))) == list(range(1, 10))


def test_a_larger_part_contains_a_smaller_one_and_another_seed_has_another(
    pool: tuple[RunContext, list[str]],
) -> None:
    parts = [set(lengths(pool, Subset(rows=n))) for n in range(1, 10)]
    assert [len(part) for part in parts] == list(range(1, 10))
    assert all(a < b for a, b in pairwise(parts))
    assert {tuple(lengths(pool, Subset(rows=3), seed)) for seed in range(5)} != {
        tuple(lengths(pool, Subset(rows=3)))
    }


def test_without_a_part_everything_is_asked_in_the_order_of_the_ids(
    pool: tuple[RunContext, list[str]],
) -> None:
    run, ids = pool
    assert choose_subset(run.workspace, None, ids[::-1], 0) == sorted(ids)
