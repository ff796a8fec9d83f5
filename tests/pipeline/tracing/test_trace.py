"""A trace over a workspace: which rows it searches, where it says they are, and its index."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.run_context import RunContext
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from pipeline.tracing import neighbours as trace_neighbours
from pipeline.tracing.index_files import read_index, write_index
from pipeline.tracing.report import IndexDamagedError, TraceReport
from pipeline.tracing.trace import Question, trace_completion
from pipeline.upkeep.leftovers import find_partial
from storage.conversations import Conversation
from storage.database import QueryError, open_workspace, read_workspace
from storage.examples import Attempt, MadeBy, write_attempts
from storage.retention import write_run_measures
from storage.workspace import Workspace
from tests.stage_runner import count_words, start, store_measurement

QUOTE = "the slow kettle hums a tune that nobody in town can name"
ROWS = [
    ("What hums?", f"I say: {QUOTE}."),
    (f"Is it true that {QUOTE}?", "Perhaps it is."),
    ("What is two and two?", "It is four, of course."),
    ("Too long?", f"{QUOTE}. " + "word " * 40),  # truncated, so never chosen
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """Four rows, one of them twice; three are chosen."""
    folder = tmp_path_factory.mktemp("made")
    lines = [json.dumps({"prompt": p, "completion": c}) for p, c in [*ROWS, ROWS[0]]]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    run, pool = start(folder / "w", [folder / "rows.jsonl"])
    run = count_words(run, pool)
    steps = [{"method": "random", "budget": {"rows": 9}}]
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": steps}), pool)
    return run


@pytest.fixture
def run(made: RunContext, tmp_path: Path) -> RunContext:
    """The same in a workspace of the test's own."""
    shutil.copytree(made.workspace.directory, tmp_path / "w")
    return replace(made, workspace=Workspace(tmp_path / "w"))


def ask(run: RunContext, question: Question, whole: bool = False) -> tuple[TraceReport, list[str]]:
    """The report, and what was told."""
    told: list[str] = []
    return trace_completion(run.workspace, question, None, whole, told.append), told


def texts(workspace: Workspace) -> dict[str, tuple[str, str]]:
    with read_workspace(workspace) as con:
        rows = con.execute("select example_id, prompt, response from examples").fetchall()
    return {example_id: (prompt, response) for example_id, prompt, response in rows}


@pytest.mark.slow
def test_a_quote_is_found_where_it_stands_in_what_was_chosen(run: RunContext) -> None:
    report, _ = ask(run, Question(f"Well, {QUOTE}, they say."))
    assert (report.run_id, report.corpus_rows, report.words) == ("run", 3, 15)
    (span,) = report.spans
    assert (span.text, span.words, span.count, span.rows) == (QUOTE, 12, 2, 2)
    stored = texts(run.workspace)
    for place in span.places:
        there = stored[place.example_id][place.part == "response"]
        assert there[place.start : place.end] == QUOTE
    assert sorted(place.part for place in span.places) == ["prompt", "response"]
    by_id = {row.example_id: row for row in report.rows}
    quoted = {
        stored[example_id][0]: (row.coverage_prompt, row.coverage_response)
        for example_id, row in by_id.items()
    }
    assert quoted == {ROWS[0][0]: (0, 12 / 15), ROWS[1][0]: (12 / 15, 0)}


def test_rows_name_their_source_and_how_often_they_stand_there(run: RunContext) -> None:
    report, _ = ask(run, Question(QUOTE), whole=True)
    stored = texts(run.workspace)
    origins = {stored[i][0]: report.origins[i] for i in (row.example_id for row in report.rows)}
    assert {prompt: (o.position, o.copies) for prompt, o in origins.items()} == {
        "What hums?": (1, 2),
        ROWS[1][0]: (2, 1),
        "Too long?": (4, 1),
    }
    assert origins["What hums?"].path is not None
    assert origins["What hums?"].path.endswith("rows.jsonl")
    assert (report.run_id, report.corpus_rows) == (None, 4)


def test_a_generated_row_names_the_model_that_made_it(run: RunContext) -> None:
    (parent, *_) = texts(run.workspace)
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "Yes, " + QUOTE}]
    with open_workspace(run.workspace) as con:
        made = Attempt(parent, 0, Conversation(turns), "")
        write_attempts(con, [made], MadeBy("key", "{}", "run", "a model"))
    report, _ = ask(run, Question(f"yes: {QUOTE}"), whole=True)
    models = [o.model for o in report.origins.values() if o.path is None]
    assert models == ["a model"]


@pytest.mark.slow
def test_the_index_is_built_once_and_again_for_other_rows(run: RunContext) -> None:
    first, told = ask(run, Question(QUOTE))
    assert len(told) == 1 and "indexing 3 rows" in told[0]
    assert ask(run, Question(QUOTE)) == (first, [])
    assert "indexing 4 rows" in ask(run, Question(QUOTE), whole=True)[1][0]
    for folder in run.workspace.indexes.iterdir():
        (folder / "order.npy").write_bytes(b"no array")
    again, told = ask(run, Question(QUOTE))
    assert again == first and len(told) == 1


def test_a_span_that_does_not_stand_where_the_index_says_is_no_answer(run: RunContext) -> None:
    ask(run, Question(QUOTE))
    (folder,) = run.workspace.indexes.iterdir()
    corpus = json.loads((folder / "index.json").read_text())["corpus"]
    index = read_index(folder, corpus)
    assert index is not None
    write_index(folder, corpus, replace(index, starts=index.starts - (index.starts > 0)))
    with pytest.raises(IndexDamagedError, match="delete the folder indexes"):
        ask(run, Question(QUOTE))


def test_an_index_that_was_being_written_is_a_leftover(run: RunContext) -> None:
    ask(run, Question(QUOTE))
    (folder,) = run.workspace.indexes.iterdir()
    partial = folder.with_name(".half.999999999.partial")
    partial.mkdir()
    assert find_partial(run.workspace) == [partial]


def test_neighbours_are_those_whose_embeddings_are_nearest(
    run: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Model:
        fingerprint = "test"

    class Embedder:
        def embed(self, asked: list[str]) -> np.ndarray:
            assert asked == ["four"]
            return np.array([[0.0, 1.0]], dtype=np.float32)

    monkeypatch.setattr(trace_neighbours, "resolve_model", lambda _: Model)
    monkeypatch.setattr(trace_neighbours, "load_embedder", lambda _: Embedder())
    stored = texts(run.workspace)
    ids = sorted(stored)
    vectors = [
        None if "hums?" in stored[i][0] else [0.6, 0.8] if "four" in stored[i][1] else [1.0, 0.0]
        for i in ids
    ]
    columns = {
        "state": pa.array(["ok"] * 4),
        "embedding": pa.array(vectors, pa.list_(pa.float32())),
    }
    run = store_measurement(run, "embeddings", ids, columns)
    with open_workspace(run.workspace) as con:
        keys = {"embeddings_response": run.measures["embeddings"]}
        write_run_measures(con, run.run_id, keys)
    report, _ = ask(run, Question("four", neighbours=5))
    assert report.neighbours is not None
    near = [(stored[n.example_id][1], round(n.similarity, 6)) for n in report.neighbours.rows]
    assert near[0] == (ROWS[2][1], 0.8) and near[1:] == [(ROWS[1][1], 0.0)]
    assert report.neighbours.rows[0].example_id in report.origins
    monkeypatch.setattr(Model, "fingerprint", "other")
    with pytest.raises(QueryError, match="is another model now"):
        ask(run, Question("four", neighbours=5))


def test_what_cannot_be_searched_is_told(run: RunContext) -> None:
    with pytest.raises(QueryError, match="measured no embeddings"):
        ask(run, Question(QUOTE, neighbours=1))
    with open_workspace(run.workspace) as con:
        con.execute("delete from run_selections")
    with pytest.raises(QueryError, match="has chosen nothing yet"):
        ask(run, Question(QUOTE))
