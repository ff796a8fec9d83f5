"""What deduplication keeps in the workspace: old rows are not read again, and nothing changes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.dedupe import signatures
from pipeline.dedupe.exact import Exact
from pipeline.dedupe.minhash import MinHash
from pipeline.dedupe.semantic import Semantic
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.dedupe.step import DedupeStep
from pipeline.run_context import RunContext
from storage.database import read_workspace
from storage.runs import read_counts
from tests.stage_runner import start, store_measurement

WORDS = MinHash(method="minhash", text="both", threshold=0.6, n=2)
CHARACTERS = MinHash(method="minhash", text="prompt", unit="characters", n=6, permutations=96)


def rows_of(first: int, last: int) -> list[dict[str, str]]:
    """Rows of which each third is nearly the one before it."""
    rng = np.random.default_rng(0)
    words = [" ".join(f"w{w}" for w in rng.integers(0, 500, 20)) for _ in range(last)]
    prompts = [words[n - 1] + " more" if n % 3 == 2 else words[n] for n in range(last)]
    return [{"prompt": p, "completion": f"answer to {p}"} for p in prompts[first:]]


def workspace(folder: Path, last: int, name: str = "rows") -> tuple[RunContext, list[str]]:
    """A workspace with the rows up to `last`, and those that were in it before."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows_of(0, last)) + "\n")
    return start(folder / "workspace", [file])


def decisions(run: RunContext) -> list[tuple[object, ...]]:
    query = (
        "select step, example_id, outcome, reason, because_of, value from decisions order by all"
    )
    with read_workspace(run.workspace) as con:
        return con.execute(query).fetchall()


def signed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts are signed from now on, call by call."""
    calls: list[int] = []
    sign = signatures.sign_texts

    def counted(texts: Sequence[str], *rest: object) -> object:
        calls.append(len(texts))
        return sign(texts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(signatures, "sign_texts", counted)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("step", [WORDS, CHARACTERS])
def test_new_rows_are_signed_and_old_ones_are_not(
    step: MinHash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = signed(monkeypatch)
    run, pool = workspace(tmp_path / "grown", 60)
    deduplicate_examples(run, [step], pool)
    run, pool = workspace(tmp_path / "grown", 90, "more")
    left = deduplicate_examples(run, [step], pool)
    assert len(left) == 60
    assert sum(calls) == 90
    grown = decisions(run)
    deduplicate_examples(run, [step], pool)
    assert sum(calls) == 90, "nothing is signed again"

    fresh, pool = workspace(tmp_path / "fresh", 90)
    assert deduplicate_examples(fresh, [step], pool) == left
    assert decisions(fresh) == grown
    shutil.rmtree(run.workspace.indexes)
    deduplicate_examples(run, [step], pool)
    assert decisions(run) == grown, "the folder may be deleted"


def test_rows_that_vanished_remove_nothing(tmp_path: Path) -> None:
    run, pool = workspace(tmp_path / "all", 90)
    deduplicate_examples(run, [WORDS], pool)
    part = pool[::2]
    left = deduplicate_examples(run, [WORDS], part)
    fresh, _ = workspace(tmp_path / "fresh", 90)
    assert deduplicate_examples(fresh, [WORDS], part) == left
    assert decisions(fresh) == decisions(run)


@pytest.mark.slow
def test_other_settings_have_other_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = signed(monkeypatch)
    run, pool = workspace(tmp_path, 30)
    for changed in ({}, {"n": 3}, {"permutations": 64}, {"text": "prompt"}, {"unit": "characters"}):
        deduplicate_examples(run, [WORDS.model_copy(update=changed)], pool)
    assert calls == [30] * 5
    deduplicate_examples(run, [WORDS.model_copy(update={"threshold": 0.9})], pool)
    assert len(calls) == 5, "a threshold is no part of a signature"


def embed(run: RunContext, pool: list[str], d: int = 24) -> RunContext:
    """Unit vectors that follow from the ids, every fourth nearly that of the one before."""
    vectors: list[list[float]] = []
    for n, example_id in enumerate(sorted(pool)):
        rng = np.random.default_rng(int(example_id[:8], 16))
        vector = rng.standard_normal(d)
        if n % 4 == 3:
            vector = np.array(vectors[-1]) + 0.01 * vector
        vectors.append((vector / np.linalg.norm(vector)).astype(np.float32).tolist())
    states = ["ok"] * (len(pool) - 1) + ["failed"]
    columns = {
        "state": pa.array(states),
        "embedding": pa.array([*vectors[:-1], None], pa.list_(pa.float32())),
    }
    run = store_measurement(run, "embeddings", sorted(pool), columns)
    return RunContext(
        run.workspace,
        run.run_id,
        run.seed,
        run.source_ids,
        {"embeddings_both": run.measures["embeddings"]},
        {},
    )


@pytest.mark.slow
def test_cells_are_stored_and_the_recall_is_noted(tmp_path: Path) -> None:
    run, pool = workspace(tmp_path, 80)
    run = embed(run, pool)
    flat = Semantic(method="semantic", threshold=0.9, index="flat")
    left = deduplicate_examples(run, [flat], pool)
    assert len(left) == 61  # of 20 copies one has no embedding
    exact = decisions(run)
    ivf = Semantic(method="semantic", threshold=0.9, index="ivf", cells=32)
    assert deduplicate_examples(run, [ivf], pool) == left
    assert decisions(run) == exact
    with read_workspace(run.workspace) as con:
        notes = [note for count in read_counts(con, run.run_id) for note in count.notes]
    assert [note for note in notes if "recall 1.000" in note and "32 of 32 cells" in note]

    files = {path: path.read_bytes() for path in run.workspace.indexes.rglob("*.*")}
    assert len(files) == 2
    narrow = ivf.model_copy(update={"cells": 2})
    some = deduplicate_examples(run, [narrow], pool)
    assert set(left) <= set(some), "what is missed stays; nothing else changes"
    assert files == {path: path.read_bytes() for path in run.workspace.indexes.rglob("*.*")}


@pytest.mark.slow
def test_rows_that_come_later_are_put_into_the_same_cells(tmp_path: Path) -> None:
    run, pool = workspace(tmp_path, 80)
    run = embed(run, pool)
    ivf = Semantic(method="semantic", threshold=0.9, index="ivf", cells=4)
    deduplicate_examples(run, [ivf], pool[:70])
    first = {path.name for path in run.workspace.indexes.rglob("*.*")}
    deduplicate_examples(run, [ivf], pool)
    second = {path.name for path in run.workspace.indexes.rglob("*.*")}
    assert first < second
    assert len(second) == 3
    pieces = run.workspace.indexes.rglob("*.parquet")
    assert sum(pq.read_metadata(piece).num_rows for piece in pieces) == 79, "none is put twice"
    grown = decisions(run)
    deduplicate_examples(run, [ivf], pool)
    assert decisions(run) == grown


@pytest.mark.parametrize("ignore", ["nothing", "whitespace", "case-and-punctuation"])
def test_exact_copies_of_a_prompt(ignore: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    prompts = ["Say yes.", "Say yes.", "Say  yes.", "SAY YES", "Say no."]
    rows = [{"prompt": p, "completion": f"{n}"} for n, p in enumerate(prompts)]
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    run, pool = start(tmp_path / "workspace", [file])
    step = Exact.model_validate({"method": "exact", "text": "prompt", "ignore": ignore})
    left = deduplicate_examples(run, [step], pool)
    assert len(left) == {"nothing": 4, "whitespace": 3, "case-and-punctuation": 2}[ignore]
    with read_workspace(run.workspace) as con:
        count = next(c for c in read_counts(con, run.run_id) if c.stage == "dedupe")
    assert count.label == f"exact on prompt, ignoring {ignore}"
    assert dict(count.dropped) == {"exact_duplicate": 5 - len(left)}


def test_rows_without_a_response_are_copies_of_nothing(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    prompts = ("Say yes to all of it.", "SAY YES to all of it.")
    rows = [{"messages": [{"role": "user", "content": prompt}]} for prompt in prompts]
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    run, pool = start(tmp_path / "workspace", [file])
    exact = Exact(method="exact", ignore="case-and-punctuation")
    near = MinHash(method="minhash", threshold=0.3)
    assert deduplicate_examples(run, [exact, near], pool) == pool
    assert len(pool) == 2
    for step in (exact, near):
        on_prompt: list[DedupeStep] = [step.model_copy(update={"text": "prompt"})]
        assert len(deduplicate_examples(run, on_prompt, pool)) == 1


def test_too_few_permutations_are_an_error_of_the_recipe() -> None:
    with pytest.raises(ValidationError, match="16 permutations miss pairs"):
        MinHash(method="minhash", threshold=0.3, permutations=16)
