"""How a run begins with targets: what it is known by, what it says, and what ends it."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.plain_run import run_plainly
from flows.begin_run import (
    NoRowsError,
    RunState,
    TooManyBadRowsError,
    begin,
    identify,
    ingest_stage,
)
from flows.cli.explain import explain, origin_lines, review_lines
from flows.cli.quarantine import quarantine
from flows.cli.summary import summary_of
from flows.recipe.schema import Recipe
from storage.database import open_workspace, read_workspace
from storage.explain import read_explanation
from storage.reviews import Review, add_reviews, write_verdicts
from storage.runs import read_counts, read_run_sources, read_run_targets
from storage.sources import list_quarantine
from storage.workspace import Workspace
from tests.pipeline.scoring.test_targets import write
from tests.tiny_models import CHAT, save_tiny_llama


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_llama(tmp_path_factory.mktemp("tiny"), chat_template=CHAT))


def begun(folder: Path, model: str, **changes: Any) -> RunState:  # noqa: ANN401 - a test's shorthand
    given = {
        "name": "near",
        "workspace": "w",
        "target": model,
        "sources": [{"path": "pool.jsonl"}],
        "targets": [{"path": "wanted.jsonl"}],
        "tolerated_bad_rows": 0.5,
        "select": {"steps": [{"method": "random", "budget": {"rows": 1}}]},
        **changes,
    }
    recipe = Recipe.model_validate(given)
    return begin(recipe, folder)


@pytest.mark.slow
def test_targets_are_part_of_what_a_run_is_and_not_of_its_pool(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "pool.jsonl", ["a", "b"])
    wanted = write(tmp_path / "wanted.jsonl", ["b", "c"], "not JSON")
    state = ingest_stage(begun(tmp_path, model))
    said = capsys.readouterr().err
    assert "ingest: 2 rows, 2 distinct examples, 0 in quarantine" in said
    assert "ingest: targets: 2 examples, 1 more in quarantine" in said
    assert "1 of them are in the pool too" in said
    assert (
        len(state.pool)
        == 2
        == len(state.run.target_ids)
        != len({*state.pool, *state.run.target_ids})
    )
    run_id = state.run.run_id
    assert len(run_id) == 12
    with read_workspace(state.run.workspace) as con:
        assert read_run_targets(con, run_id) == state.run.target_source_ids
        assert read_run_sources(con, run_id) == state.run.source_ids != state.run.target_source_ids
        (count,) = read_counts(con, run_id)
        assert len(list_quarantine(con, read_run_targets(con, run_id))) == 1
    assert (count.rows_in, count.kept, len(count.notes)) == (2, 2, 2)
    assert summary_of(state).quarantined == 1, "`--strict` looks at it"
    assert begun(tmp_path, model).run.run_id == run_id
    write(wanted, ["b", "c", "d"])
    assert begun(tmp_path, model).run.run_id != run_id
    without = ingest_stage(begun(tmp_path, model, targets=[]))
    assert without.run.target_ids == [] and without.run.run_id != run_id


def test_targets_that_cannot_be_read_end_the_run(tmp_path: Path, model: str) -> None:
    write(tmp_path / "pool.jsonl", ["a", "b"])
    write(tmp_path / "wanted.jsonl", ["c"], "not JSON", "nor this")
    with pytest.raises(TooManyBadRowsError, match="2 of 3 rows of the targets could not be read"):
        ingest_stage(begun(tmp_path, model))
    (tmp_path / "wanted.jsonl").write_text("\n")
    with pytest.raises(NoRowsError, match="the targets hold no row"):
        ingest_stage(begun(tmp_path, model))


def test_sources_and_targets_are_known_in_the_order_of_their_ids(
    tmp_path: Path, model: str
) -> None:
    for name in "abcdef":
        write(tmp_path / f"{name}.jsonl", [name])
    paths = [{"path": f"{name}.jsonl"} for name in "abcdef"]
    run = begun(tmp_path, model, sources=paths[:1], targets=paths[1:]).run
    assert len(run.target_source_ids) == 5
    assert list(run.target_source_ids) == sorted(run.target_source_ids)
    again = begun(tmp_path, model, sources=paths, targets=[]).run
    assert len(again.source_ids) == 6 and list(again.source_ids) == sorted(again.source_ids)


def exported(project: Path, workspace: Path | str, model: str) -> dict[str, bytes]:
    """Every file of the export of a recipe whose workspace lies there."""
    project.mkdir(parents=True, exist_ok=True)
    (project / "data" / "more").mkdir(parents=True, exist_ok=True)
    for name, words in (("data/b.jsonl", "bee"), ("data/more/a.jsonl", "ant"), ("c.jsonl", "cat")):
        write(project / name, [f"{words} {n}" for n in range(4)])
    recipe = {
        "name": "placed",
        "workspace": str(workspace),
        "target": model,
        "sources": [{"path": "data"}, {"path": "c.jsonl"}],
        "select": {
            "held_out": 0,
            "steps": [{"method": "random", "budget": {"rows": 7}, "shares": {"temperature": 9}}],
        },
    }
    (project / "recipe.json").write_text(json.dumps(recipe))
    run_plainly(project / "recipe.json")
    (export,) = (project / workspace / "exports").iterdir()
    return {str(file): (export / file).read_bytes() for file in files_of(export)}


def files_of(folder: Path) -> list[Path]:
    return sorted(each.relative_to(folder) for each in folder.rglob("*") if each.is_file())


@pytest.mark.slow
def test_an_export_does_not_depend_on_where_its_workspace_lies(tmp_path: Path, model: str) -> None:
    first = exported(tmp_path / "one", "work", model)
    assert b"../data/more/a.jsonl" in first["train.jsonl"]
    for project, workspace in (
        ("one", "deep/er/work"),
        ("one", tmp_path / "elsewhere" / "w"),
        ("two/of/them", "../../work"),
    ):
        assert exported(tmp_path / project, workspace, model) == first


def begun_with_documents(folder: Path, model: str, **changes: Any) -> RunState:  # noqa: ANN401
    documents = [{"path": "docs", "license": "MIT", "name": "handbook"}]
    return begun(folder, model, **{"sources": [], "targets": [], "documents": documents, **changes})


def test_documents_are_read_counted_and_found_again(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Head\n\nSome words.\n")
    (tmp_path / "docs" / "b.txt").write_bytes(b"\xff")
    state = ingest_stage(begun_with_documents(tmp_path, model))
    said = "documents: 2 files, 1 passages, 1 files in quarantine (not_utf8 1; see"
    assert said in capsys.readouterr().err and not state.pool
    summary = summary_of(state)
    assert summary.quarantined == 1 and said in summary.notes[0]
    workspace: Workspace = state.run.workspace
    quarantine(workspace.directory, None, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["source"] == "../docs/b.txt" and row["line"] is None and row["reason"] == "not_utf8"
    with read_workspace(workspace) as con:
        ((passage,),) = con.execute("select passage_id from passages").fetchall()
    explain(passage[:9], workspace.directory)
    told = capsys.readouterr().out
    for part in ("a.md, read as markdown, licence MIT", "handbook", "under Head", "0 to 19 of its"):
        assert part in told


def test_documents_are_part_of_what_a_run_is(tmp_path: Path, model: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("Some words.")
    first = begun_with_documents(tmp_path, model).run.run_id
    assert begun_with_documents(tmp_path, model).run.run_id == first
    (tmp_path / "docs" / "a.txt").write_text("Other words.")
    assert begun_with_documents(tmp_path, model).run.run_id != first


def test_a_recipe_without_documents_is_stored_as_it_was(tmp_path: Path, model: str) -> None:
    write(tmp_path / "pool.jsonl", ["a"])
    assert "documents" not in begun(tmp_path, model, targets=[]).recipe.stored()


def test_documents_without_any_text_end_the_run(tmp_path: Path, model: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("")
    with pytest.raises(NoRowsError, match="the documents hold no text that could be read"):
        ingest_stage(begun_with_documents(tmp_path, model))


def test_a_run_without_sources_begins_with_an_empty_pool(tmp_path: Path, model: str) -> None:
    invents = [{"method": "magpie"}]
    state = ingest_stage(begun(tmp_path, model, sources=[], targets=[], generate=invents))
    assert state.pool == []


def test_a_row_that_a_model_wrote_from_no_row_is_told_so() -> None:
    made = {"parent_id": "", "method": "magpie", "model": "m", "settings": "{}"}
    told = {"sources": [], "lineage": [made], "passages": [], "candidates": [], "children": []}
    assert "  magpie by m from no row, with {}" in origin_lines(told)


def test_what_a_person_marked_bad_is_part_of_what_a_run_is(tmp_path: Path, model: str) -> None:
    write(tmp_path / "pool.jsonl", ["a", "b"])
    given: dict[str, Any] = {
        "name": "read",
        "workspace": "w",
        "target": model,
        "sources": [{"path": "pool.jsonl"}],
        "select": {"steps": [{"method": "random", "budget": {"rows": 1}}]},
    }
    plain = Recipe.model_validate(given)
    given["select"]["steps"].insert(0, {"method": "not_marked_bad"})
    dropping = Recipe.model_validate(given)

    def known_by(recipe: Recipe) -> str:
        return identify(recipe, tmp_path)[0].run.run_id

    new = known_by(dropping)  # there is no workspace yet
    state = ingest_stage(begin(plain, tmp_path))
    assert known_by(dropping) == new != known_by(plain) == state.run.run_id
    first, second = state.pool

    def judge(row: str, verdict: str, note: str = "") -> str:
        with open_workspace(state.run.workspace) as con:
            add_reviews(
                con, "s", [Review(each, "pool.jsonl", "random", None) for each in state.pool]
            )
            write_verdicts(con, {row: (verdict, note)}, "ada")
        return known_by(dropping)

    assert judge(first, "ok") == new, "nothing is marked bad"
    marked = judge(second, "bad", "wrong dose")
    assert marked != new
    assert judge(second, "bad", "another note") == marked
    assert judge(first, "bad") not in (marked, new)
    judge(first, "ok")
    assert judge(second, "ok") == new
    assert known_by(plain) == state.run.run_id, "no step of it reads verdicts"
    with read_workspace(state.run.workspace) as con:
        told = read_explanation(con, second, None)
    heading, line = review_lines(told)
    assert heading == "\nreviewed" and line.startswith("  ok by ada, 20")
