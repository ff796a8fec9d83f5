"""Targets take turns: by a plain loop over full sorts, and what is never taken."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.ranking.budget import Budget
from pipeline.ranking.greedy_diverse import cosine_between
from pipeline.run_context import RunContext
from pipeline.scoring.targets import Targets
from pipeline.selection.candidates import read_candidates, read_vectors
from pipeline.selection.methods.targets import Queries, TargetTurns, select_targets
from storage.database import read_workspace
from storage.examples import read_examples, read_pairs
from storage.measurements import read_measurements
from tests.stage_runner import start, store_measurement


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


RNG = np.random.default_rng(0)
IDS = np.array([f"{at:03}" for at in RNG.permutation(200)], dtype=object)
ROWS = unit(RNG.standard_normal((200, 5)))
QUERIES = Queries(["q2", "q0", "q1"], unit(RNG.standard_normal((3, 5))))
TASKS = replace(QUERIES, tasks=["b", "a", "b"])


def plain_loop(queries: Queries, rows: int) -> list[int]:
    """Every list sorted whole, then turns, as the paper's first algorithm has it."""
    n = len(IDS)
    called = queries.names if queries.tasks is None else queries.tasks
    lists = []
    for name in sorted(set(called)):
        members = [at for at, each in enumerate(called) if each == name]
        cosines = np.stack(
            [cosine_between(ROWS, np.arange(n), queries.vectors, np.full(n, q)) for q in members]
        ).max(axis=0)
        lists.append(sorted(range(n), key=lambda row, c=cosines: (-c[row], IDS[row])))  # type: ignore[misc]
    taken: list[int] = []
    while len(taken) < rows:
        for each in lists:
            if len(taken) < rows:
                taken.append(next(row for row in each if row not in taken))
    return taken


@pytest.mark.parametrize("queries", [QUERIES, TASKS])
@pytest.mark.parametrize("rows", [1, 7, 150, 200])
def test_the_picks_are_those_of_whole_sorted_lists(queries: Queries, rows: int) -> None:
    outcome = select_targets(ROWS, IDS, queries, Budget(rows=rows))
    assert outcome.indices.tolist() == plain_loop(queries, rows)


def test_every_target_has_as_many_picks_as_any_other() -> None:
    outcome = select_targets(ROWS, IDS, QUERIES, Budget(rows=101))
    assert outcome.details is not None
    said = [each.split(",")[0] for each in outcome.details[outcome.indices]]
    assert [said.count(f"taken for target q{n}") for n in range(3)] == [34, 34, 33]
    assert set(outcome.details[outcome.reasons != ""].tolist()) == {None}


def test_near_copies_of_targets_come_first_and_the_decision_says_of_which() -> None:
    rows = ROWS.copy()
    rows[[40, 41, 42]] = unit(QUERIES.vectors[[1, 2, 0]] + 0.01)  # of q0, q1, q2
    outcome = select_targets(rows, IDS, QUERIES, Budget(rows=3))
    assert outcome.indices.tolist() == [40, 41, 42]
    assert outcome.details is not None
    assert outcome.details[40] == "taken for target q0, number 1 in the list of it"
    by_task = select_targets(rows, IDS, TASKS, Budget(rows=2))
    assert by_task.details is not None and by_task.indices[0] == 40
    assert by_task.details[40] == "taken for target q0, number 1 in the list of source a"
    assert (outcome.value[outcome.indices] > 0.99).all()


def test_a_row_that_another_took_counts_in_the_list_but_is_not_taken_twice() -> None:
    rows = unit(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]))
    both = Queries(["a", "b"], unit(np.array([[1.0, 0.0], [1.0, 0.001]])))
    outcome = select_targets(rows, np.array(["x", "y", "z"]), both, Budget(rows=2))
    assert outcome.indices.tolist() == [0, 1] and outcome.details is not None
    assert outcome.details[1] == "taken for target b, number 2 in the list of it"


def test_targets_and_rows_without_a_vector_are_passed_over() -> None:
    rows, queries = ROWS.copy(), QUERIES.vectors.copy()
    rows[:150], queries[0] = np.nan, np.nan
    own = np.zeros(200, dtype=bool)
    own[150:170] = True
    outcome = select_targets(rows, IDS, Queries(QUERIES.names, queries), Budget(rows=99), own=own)
    assert sorted(outcome.indices) == list(range(170, 200))
    assert set(outcome.reasons[:150]) == {"no_embedding"}
    assert set(outcome.reasons[150:170]) == {"is_target"}
    assert outcome.notes == (
        "20 rows are targets, or answers to the prompt of one, and are not taken",
    )
    assert outcome.details is not None and "q2" not in " ".join(outcome.details[170:])


def test_no_target_with_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="none of those given has a vector"):
        select_targets(ROWS, IDS, Queries(["q"], np.full((1, 5), np.nan, "f4")), Budget(rows=1))


AIMS = {"one": ["aim"], "two": ["other", "p3"]}
"""Prompts of the targets of each source; p3 is one of the pool as well."""


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunContext, list[str], dict[str, str]]:
    """Rows of two kinds beside a direction that all share, which hides the kinds; id → prompt."""
    rows = [{"prompt": f"p{n}", "completion": "r"} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    sources: list[str] = []
    for name, prompts in AIMS.items():
        asked = [json.dumps({"prompt": each, "completion": "t"}) for each in prompts]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(asked))
        sources += start(tmp_path / "w", [tmp_path / f"{name}.jsonl"])[0].source_ids
    with read_workspace(run.workspace) as con:
        targets = Targets(read_pairs(con, sources))
        prompts_of = dict(con.execute("select example_id, prompt from examples").fetchall())
    everyone, rng = sorted({*pool, *targets.ids}), np.random.default_rng(0)
    kinds = [1.0 if prompts_of[each] in ("p7", "p8", "aim") else -1.0 for each in everyone]
    made = np.column_stack([kinds, 0.3 * rng.standard_normal((len(everyone), 4))])
    made[:, 4] = 30 + 10 * rng.standard_normal(len(everyone))
    vectors = pa.array(unit(made).astype("f2").tolist(), pa.list_(pa.float16()))
    ok = pa.array(["ok"] * len(everyone))
    run = store_measurement(run, "losses", everyone, {"state": ok, "weighted_vector": vectors})
    tokens = {"state": ok[:40], "response_tokens": pa.array([1] * 40, pa.int64())}
    run = store_measurement(run, "token_counts", pool, tokens)
    return replace(run, target_source_ids=sources, targets=targets), pool, prompts_of


def expected_nearest(run: RunContext, pool: list[str]) -> float:
    """The highest cosine of a target with a row that is none, both whitened by the pool."""
    ids = [*pool, *run.target_ids]
    with read_workspace(run.workspace) as con:
        _, columns = read_measurements(con, run.measures["losses"], ("weighted_vector",), ids)
        own = [each.prompt for each in read_examples(con, pool)].index("p3")
    vectors = columns["weighted_vector"]
    turned = (vectors - vectors[:40].mean(axis=0)) @ np.linalg.inv(
        np.linalg.cholesky(np.cov(vectors[:40].T)).T
    )
    turned = unit(turned)
    return float(np.delete(turned[40:] @ turned[:40].T, own, axis=1).max())


def test_the_step_reads_the_targets_of_each_source_and_whitens_both_sides(
    run: tuple[RunContext, list[str], dict[str, str]],
) -> None:
    context, pool, prompts_of = run

    def picked(**settings: object) -> tuple[set[str], tuple[str, ...], str, float]:
        step = TargetTurns.model_validate({"method": "targets", "budget": {"rows": 4}, **settings})
        with read_workspace(context.workspace) as con:
            rows = read_candidates(con, context, pool)
            outcome = step.pick(rows, read_vectors, 0)
        assert outcome.details is not None
        prompts = [prompts_of[each] for each in rows.ids]
        assert outcome.reasons[prompts.index("p3")] == "is_target", "with an answer of its own"
        return (
            {prompts[row] for row in outcome.indices},
            outcome.notes,
            outcome.details[outcome.indices[0]],
            float(outcome.value[outcome.indices].max()),
        )

    prompts, notes, said, nearest = picked(rounds="tasks", whiten=True)
    assert {"p7", "p8"} <= prompts, "of the kind of one target, which whitening shows"
    assert notes[0] == "whitened by 40 rows, to 5 dimensions"
    assert notes[1].startswith("1 rows are targets") and said.endswith(".jsonl")
    assert nearest == pytest.approx(expected_nearest(context, pool), abs=1e-5)
    prompts, notes, said, _ = picked()
    assert not {"p7", "p8"} <= prompts and len(notes) == 1 and said.endswith("list of it")


def test_targets_are_compared_where_the_recipe_has_them() -> None:
    step = TargetTurns.model_validate({"method": "targets", "budget": {"rows": 4}})
    assert step.compares_targets() and step.compared() == "weighted"
