"""The check stage: what each action does, what is stored, and that nothing else is touched."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import pipeline.contamination.stage
from flows.cli.explain import explanation_lines
from pipeline.contamination.report import CheckReport, read_check_report
from pipeline.contamination.settings import CheckSettings
from pipeline.contamination.stage import check_examples, evaluation_fingerprints
from pipeline.measuring.measures.embeddings import Embeddings
from pipeline.reporting.report import read_run_report
from pipeline.run_context import RunContext
from storage.conversations import Conversation
from storage.database import read_workspace
from storage.explain import read_explanation
from storage.runs import read_counts
from tests.fakes import FakeEmbedder
from tests.stage_runner import start, store_measurement

QUESTION = "Ann has seven red pears and buys five green ones. How many pears has she got now?"
ITEMS = [
    {"question": QUESTION, "answer": "She has twelve pears."},
    {"question": "Name the capital of Peru.", "answer": "Lima"},
    {"question": "Bob runs four miles on each day of the week but Sunday. How far is that?"},
    {"wrong": 1},
]
LEAK = (QUESTION, "I do not know.")
SHORT = ("Name the capital of Peru!", "It is Lima.")
CLEAN = [(f"What comes after the number {n}?", f"It is {n + 1}.") for n in range(6)]


def conversation(question: str, answer: str) -> Conversation:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Conversation(turns)


def prepare(folder: Path, pairs: Sequence[tuple[str, str]]) -> tuple[RunContext, list[str], Path]:
    """A workspace with these rows and the evaluation set beside it."""
    folder.mkdir(exist_ok=True)
    rows = [{"messages": conversation(*pair).messages} for pair in pairs]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    evaluation = folder / "evaluation.jsonl"
    evaluation.write_text("\n".join(map(json.dumps, ITEMS)))
    run, pool = start(folder / "workspace", [folder / "rows.jsonl"])
    return run, pool, evaluation


def settings_for(evaluation: Path, **more: object) -> CheckSettings:
    sets = [{"path": str(evaluation), "name": "eval", "prompt": "question", "answer": "answer"}]
    return CheckSettings.model_validate({"against": sets, **more})


def report_of(run: RunContext) -> CheckReport:
    with read_workspace(run.workspace) as con:
        report = read_check_report(con, run.run_id)
    assert report is not None
    return report


def decisions_of(run: RunContext) -> dict[str, tuple[str, str, float | None]]:
    with read_workspace(run.workspace) as con:
        rows = con.execute(
            "select example_id, outcome, reason, value from decisions where stage = 'check'"
        ).fetchall()
    return {row[0]: row[1:] for row in rows}


LEAK_ID, SHORT_ID = conversation(*LEAK).example_id, conversation(*SHORT).example_id


@pytest.mark.parametrize(
    ("action", "left", "outcome"),
    [
        ("report", 8, ("kept", "", None)),
        ("flag", 8, ("kept", "", 1.0)),
        ("remove", 6, ("dropped", "contaminated", 1.0)),
    ],
)
def test_what_an_action_does(
    tmp_path: Path, action: str, left: int, outcome: tuple[str, str, float | None]
) -> None:
    run, pool, evaluation = prepare(tmp_path, [LEAK, SHORT, *CLEAN])
    before = evaluation.read_bytes(), evaluation.stat().st_mtime_ns
    kept = check_examples(run, settings_for(evaluation, action=action), (), pool)
    assert len(kept) == left and kept == sorted(kept)
    decisions = decisions_of(run)
    assert set(decisions) == set(pool)
    assert decisions[LEAK_ID] == decisions[SHORT_ID] == outcome
    others = {decision for i, decision in decisions.items() if i not in (LEAK_ID, SHORT_ID)}
    assert others == {("kept", "", None)}
    report = report_of(run)
    assert [(hit.row, hit.item, hit.matched) for hit in report.hits] == [
        (LEAK_ID, 1, "prompt"),
        (SHORT_ID, 2, "prompt"),
    ]
    with read_workspace(run.workspace) as con:
        (count,) = [each for each in read_counts(con, run.run_id) if each.stage == "check"]
        examples = con.execute("select count(*) from examples").fetchall()
    assert (count.rows_in, count.kept) == (8, left)
    assert count.dropped == ({"contaminated": 2} if action == "remove" else {})
    assert examples == [(8,)]  # neither items nor leaks became examples
    assert (evaluation.read_bytes(), evaluation.stat().st_mtime_ns) == before


def test_the_report_of_the_run_has_it_all(tmp_path: Path) -> None:
    run, pool, evaluation = prepare(tmp_path, [LEAK, SHORT, *CLEAN])
    check_examples(run, settings_for(evaluation), (), pool)
    with read_workspace(run.workspace) as con:
        page = read_run_report(con, run.run_id).markdown
    assert "## Contamination" in page and "ann has seven red pears" in page
    assert "| eval | 4 | missing_key | no question, or an empty one |" in page
    assert "| eval | other answer | 3 | 3 | 1.00 |" in page
    note = "eval: 2 hits, 2 rows hold something of 2 of its 4 items, 1 items could not be checked"
    assert note in page
    (summary,) = report_of(run).evaluations
    assert summary.path == "../evaluation.jsonl"


def test_the_story_of_a_row_names_the_item(tmp_path: Path) -> None:
    run, pool, evaluation = prepare(tmp_path, [LEAK, *CLEAN])
    check_examples(run, settings_for(evaluation, action="remove"), (), pool)
    with read_workspace(run.workspace) as con:
        story, other = read_explanation(con, LEAK_ID, None), read_explanation(con, pool[0], None)
    lines = explanation_lines(story)
    found = "  eval, item 1: its prompt, by 13-grams, any, at 1.0000 (run run)"
    assert lines[lines.index("\nholds something of") + 1] == found
    assert [row["stage"] for row in story["decisions"]] == ["ingest", "check"]
    assert other["contamination"] == []


@pytest.mark.slow
def test_the_order_of_rows_and_a_second_run_change_nothing(tmp_path: Path) -> None:
    pairs = [LEAK, SHORT, *CLEAN]
    reports: list[object] = []
    for name, rows in (("one", pairs), ("other", pairs[::-1])):
        run, pool, evaluation = prepare(tmp_path / name, rows)
        for order in (pool, pool[::-1])[: len(reports) + 1]:
            kept = check_examples(run, settings_for(evaluation, action="remove"), (), order)
            assert kept == sorted(kept) and len(kept) == 6
            reports.append((report_of(run), decisions_of(run)))
    assert len(reports) == 3 and all(report == reports[0] for report in reports)


def test_blocks_of_rows_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, pool, evaluation = prepare(tmp_path, [LEAK, SHORT, *CLEAN])
    check_examples(run, settings_for(evaluation), (), pool)
    whole = report_of(run)
    monkeypatch.setattr(pipeline.contamination.stage, "BLOCK_ROWS", 3)
    check_examples(run, settings_for(evaluation), (), pool)
    assert report_of(run) == whole


def test_without_leaks_no_recall_is_claimed(tmp_path: Path) -> None:
    run, pool, evaluation = prepare(tmp_path, CLEAN)
    check_examples(run, settings_for(evaluation, leaks=0), (), pool)
    report = report_of(run)
    assert report.recall == [] and report.hits == [] and report.found == 0


def test_an_empty_pool_is_checked(tmp_path: Path) -> None:
    run, _, evaluation = prepare(tmp_path, CLEAN)
    assert check_examples(run, settings_for(evaluation), (), []) == []


def test_other_items_make_another_run(tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation.jsonl"
    evaluation.write_text("\n".join(map(json.dumps, ITEMS)))
    settings = settings_for(evaluation)
    before = evaluation_fingerprints(settings)
    evaluation.write_text(json.dumps(ITEMS[0]))
    assert len(before) == 1 and evaluation_fingerprints(settings) != before
    assert evaluation_fingerprints(None) == []


class Counting(FakeEmbedder):
    """Counts the texts it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += len(texts)
        return super().embed(texts)


def test_semantic_neighbours_and_each_text_is_embedded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = Counting()
    monkeypatch.setattr(pipeline.contamination.stage, "load_embedder", lambda _: embedder)
    run, pool, evaluation = prepare(tmp_path, [(QUESTION, "no"), *CLEAN])
    with read_workspace(run.workspace) as con:
        texts = dict(con.execute("select example_id, prompt from examples").fetchall())
    vectors = embedder.embed([texts[i] for i in pool]).tolist()
    states = pa.array(["ok"] * len(pool))
    run = store_measurement(
        run, "embeddings", pool, {"state": states, "embedding": pa.array(vectors)}
    )
    run = replace(run, measures={"embeddings_prompt": run.measures["embeddings"]})
    settings = settings_for(
        evaluation, ngrams=None, short=False, semantic={"threshold": 0.999}, action="remove"
    )
    blocks = (Embeddings(of="prompt"), Embeddings(of="both"))
    embedder.asked = 0
    left = check_examples(run, settings, blocks, pool)
    assert len(left) == len(pool) - 1
    first, asked = report_of(run), embedder.asked
    assert [(h.item, h.matched, h.similarity) for h in first.hits] == [(1, "prompt", 1.0)]
    assert {line.kind: line.share for line in first.recall}["other answer"] == 1.0
    check_examples(run, settings, blocks, pool)
    assert embedder.asked == asked > 0
    assert report_of(run) == first
