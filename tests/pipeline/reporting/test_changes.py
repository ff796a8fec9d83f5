"""What changed overnight, and why: each row that came or went has one reason."""

import json
from pathlib import Path

from pipeline.reporting.changes import (
    RunChanges,
    changes_markdown,
    compare_runs,
    compare_settings,
    differences,
    join_edits,
    named,
    rows_by_reason,
    why,
)
from pipeline.reporting.report import read_run_report, write_run_report
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.run_steps import SelectSettings
from storage.changes import ChoiceChange, DescribedRun, SourceChange, find_previous
from storage.database import open_workspace, read_workspace
from storage.runs import start_run
from storage.workspace import Workspace
from tests.stage_runner import count_words, dedupe_and_select, score, start
from tests.storage.test_changes import tell

LONGEST_FIRST = ScoreSettings(scorer="response_length")


def write_rows(path: Path, words: dict[str, int]) -> None:
    """A row for each prompt, its answer so many words long."""
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"prompt": prompt, "completion": " ".join([f"secret{prompt}"] * n)}
        for prompt, n in words.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def night(
    tmp_path: Path,
    run_id: str,
    budget: int = 2,
    least: int = 1,
    recipe: dict[str, object] | None = None,
) -> Workspace:
    """Ingest the folder, keep answers of so many words, choose the longest."""
    files = sorted((tmp_path / "incoming").iterdir())
    run, pool = start(tmp_path / "w", files, run_id=run_id)
    described = {"name": "test", "seed": 0, **(recipe or {})}
    with open_workspace(run.workspace) as con:
        con.execute("delete from runs where run_id = ?", [run_id])
        start_run(con, run_id, described, "code", {}, run.source_ids)
    run = score(count_words(run, pool), LONGEST_FIRST, pool)
    steps = [
        {"method": "threshold", "score": "response_length", "at_least": least},
        {"method": "top_k", "score": "response_length", "budget": {"rows": budget}},
    ]
    settings = SelectSettings.model_validate({"held_out": 0, "steps": steps})
    dedupe_and_select(run, pool, [], settings)
    return run.workspace


def compare(workspace: Workspace) -> RunChanges:
    with read_workspace(workspace) as con:
        return compare_runs(con, "one", "two")


def reasons(workspace: Workspace, changes: RunChanges) -> dict[str, tuple[str, str]]:
    """Prompt → what became of it, and why."""
    with read_workspace(workspace) as con:
        prompts = dict(con.execute("select example_id, prompt from examples").fetchall())
    return {prompts[each.example_id]: (each.change, why(each)) for each in changes.choice}


def test_each_change_of_the_selection_has_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "incoming" / "a.jsonl"
    write_rows(file, {"gone": 9, "stays": 8, "waits": 7, "short": 2})
    workspace = night(tmp_path, "one")
    write_rows(file, {"stays": 8, "waits": 7, "short": 2, "new": 9, "newer": 6})
    night(tmp_path, "two", budget=3)
    changes = compare(workspace)
    assert changes.stayed == 1
    assert reasons(workspace, changes) == {
        "gone": ("removed", "its row is gone from the sources"),
        "new": ("added", "new row"),
        "waits": ("added", "no longer over_budget (select: top_k(score=response_length, rows=2))"),
    }
    assert (changes.pool.new, changes.pool.retired, changes.pool.stayed) == (2, 1, 3)
    edited = [(each.change, each.examples_new, each.examples_gone) for each in changes.sources]
    assert edited == [("new", 2, 0), ("gone", 0, 1)]


def test_an_edited_row_is_linked_to_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "incoming" / "a.jsonl"
    write_rows(file, {"a": 9, "b": 8, "c": 7})
    workspace = night(tmp_path, "one")
    write_rows(file, {"new": 3, "a": 10, "b": 8, "c": 2})  # all of them a line further down
    night(tmp_path, "two")
    changes = compare(workspace)
    ids = {each.change: each for each in changes.choice}
    assert set(ids) == {"added", "removed"} and len(changes.edits) == 2
    assert ids["added"].edited == ids["removed"].example_id
    assert ids["removed"].edited == ids["added"].example_id
    assert why(ids["added"]) == "edited row" and why(ids["removed"]) == "its row was edited"
    text = changes_markdown(changes)
    assert "- examples: 3 new, 2 retired, 1 as before; 2 of the new ones by an edit" in text
    was, now = (ids[each].example_id[:8] for each in ("removed", "added"))
    assert f"| added | 1 | edited row | {now} (was {was}) |" in text
    assert f"| removed | 1 | its row was edited | {was} (now {now}) |" in text


def test_a_step_that_drops_a_row_now_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path / "incoming" / "a.jsonl", {"a": 3, "b": 5, "c": 7})
    workspace = night(tmp_path, "one", budget=3)
    night(tmp_path, "two", budget=3, least=4)
    changes = compare(workspace)
    step = "threshold(score=response_length, at_least=4.0)"
    assert reasons(workspace, changes) == {
        "a": ("removed", f"now below_threshold (select: {step})")
    }


def test_changed_settings_are_told_by_their_names(tmp_path: Path) -> None:
    write_rows(tmp_path / "incoming" / "a.jsonl", {"a": 3})
    workspace = night(tmp_path, "one", recipe={"steps": [{"at_most": 1.0}], "old": True})
    night(tmp_path, "two", recipe={"steps": [{"at_most": 0.9}], "list": []})
    told = [(each.setting, each.before, each.after) for each in compare(workspace).settings]
    assert told == [("steps.0.at_most", 1.0, 0.9), ("old", True, None), ("list", None, [])]


def test_a_run_follows_the_last_that_chose(tmp_path: Path) -> None:
    write_rows(tmp_path / "incoming" / "a.jsonl", {"a": 3})
    workspace = night(tmp_path, "one")
    with open_workspace(workspace) as con:  # killed before it chose: nobody follows it
        start_run(con, "killed", {"name": "test", "seed": 0}, "code", {}, [])
        start_run(con, "elsewhere", {"name": "another", "seed": 0}, "code", {}, [])
    night(tmp_path, "two")
    with open_workspace(workspace) as con:
        query = "select run_id, previous_run_id from runs"
        expected = {"one": None, "killed": "one", "elsewhere": None, "two": "one"}
        assert dict(con.execute(query).fetchall()) == expected
        start_run(con, "two", {"name": "test", "seed": 0}, "code", {}, [])  # goes on after a kill
        assert dict(con.execute(query).fetchall()) == expected
        start_run(con, "one", {"name": "test", "seed": 0}, "code", {}, [])  # as it was before
        assert dict(con.execute(query).fetchall()) == {**expected, "one": "two"}


def test_the_report_has_counts_and_ids_and_no_text(tmp_path: Path) -> None:
    write_rows(tmp_path / "incoming" / "a.jsonl", {"a": 3, "b": 4})
    workspace = night(tmp_path, "one")
    write_rows(tmp_path / "incoming" / "b.jsonl", {"c": 5})
    night(tmp_path, "two")
    report = write_run_report(workspace, "two").markdown
    assert (workspace.reports / "two.md").read_text() == report
    assert "What changed since run one" in report
    assert "| added | 1 | new row |" in report
    assert "secret" not in report
    with read_workspace(workspace) as con:
        assert "What changed" not in read_run_report(con, "one").markdown


def test_nothing_changed_is_said_in_numbers(tmp_path: Path) -> None:
    write_rows(tmp_path / "incoming" / "a.jsonl", {"a": 3, "b": 4})
    workspace = night(tmp_path, "one")
    night(tmp_path, "two")
    text = changes_markdown(compare(workspace))
    assert "- examples: 0 new, 0 retired, 2 as before" in text
    assert "- selection: 0 rows came in, 0 left, 2 stayed" in text
    assert "|" not in text


def test_a_block_that_one_recipe_lacks_is_one_change() -> None:
    before = {"a": {"b": [1, {"c": None}]}, "d": {}}
    after = {"a": {"b": [1, {"c": 2}, {"x": 1, "y": 2}]}, "e": {"f": {"g": 1}}}
    told = [(each.setting, each.after) for each in differences(before, after, "")]
    expected = [("a.b.1.c", 2), ("a.b.2", {"x": 1, "y": 2}), ("d", None), ("e", {"f": {"g": 1}})]
    assert told == expected


def test_an_edited_file_is_one_change(tmp_path: Path) -> None:
    file = tmp_path / "incoming" / "a.jsonl"
    write_rows(file, {"a": 3, "b": 4})
    workspace = night(tmp_path, "one")
    write_rows(file, {"a": 3, "c": 4, "d": 5})
    night(tmp_path, "two")
    text = changes_markdown(compare(workspace))
    assert "a.jsonl | edited | 3 | 2 | 1 |" in text
    assert "| gone |" not in text


def test_a_run_that_has_not_chosen_yet_is_not_compared_in_that(tmp_path: Path) -> None:
    write_rows(tmp_path / "incoming/rows.jsonl", {"a": 3, "b": 2})
    workspace = night(tmp_path, "one")
    run, _ = start(tmp_path / "w", [tmp_path / "incoming/rows.jsonl"], run_id="two")
    assert run.run_id == "two"
    changes = compare(workspace)
    assert changes.unselected == ["two"] and not changes.choice
    page = changes_markdown(changes)
    assert "- selection: not compared, for nothing is chosen yet in two\n" in page
    assert "gone from the sources" not in page and changes.pool.stayed == 2


def test_of_three_nights_the_last_follows_the_second(tmp_path: Path) -> None:
    write_rows(tmp_path / "incoming" / "a.jsonl", {"a": 3})
    for run_id in ("first", "second", "third"):
        workspace = night(tmp_path, run_id)
    with read_workspace(workspace) as con:
        found = [find_previous(con, run_id) for run_id in ("first", "second", "third")]
    assert found == [None, "first", "second"]


def test_of_several_edited_files_each_has_its_own_numbers(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    write_rows(incoming / "a.jsonl", {"a": 3, "gone from a": 4})
    write_rows(incoming / "b.jsonl", {"b": 3, "gone from b": 4, "gone too": 5})
    write_rows(incoming / "c.jsonl", {"c": 3})
    workspace = night(tmp_path, "one")
    write_rows(incoming / "a.jsonl", {"a": 3, "new in a": 4, "newer": 5})
    write_rows(incoming / "b.jsonl", {"b": 3, "new in b": 4})
    (incoming / "c.jsonl").rename(incoming / "d.jsonl")  # the same content: no other source
    write_rows(incoming / "e.jsonl", {"e": 3})
    night(tmp_path, "two")
    table = [line for line in changes_markdown(compare(workspace)).splitlines() if ".jsonl" in line]
    assert [line.split("incoming/")[1] for line in table] == [
        "a.jsonl | edited | 3 | 2 | 1 |",
        "b.jsonl | edited | 2 | 1 | 2 |",
        "e.jsonl | new | 1 | 1 | 0 |",
    ]


def test_models_and_the_version_are_told_after_the_settings() -> None:
    models = [f"m{n}" for n in range(9)]  # so many that a set has them in another order
    same = {"same": "x"}
    before = DescribedRun("test", {"a": 1}, "v1", dict.fromkeys(models, "x") | same | {"old": "x"})
    after = DescribedRun("test", {"a": 2}, "v2", dict.fromkeys(models, "y") | same | {"new": "x"})
    told = [each.setting for each in compare_settings(before, after)]
    assert told == ["a", *(f"content of {model}" for model in models), "version of Sluice"]
    assert list(compare_settings(before, before)) == []


def change(kind: str, number: int, reason: str | None = None) -> ChoiceChange:
    cause = f"cause {number}" if reason == "near_duplicate" else None
    return ChoiceChange(kind, number, f"example {number}", "dedupe", "x", reason, cause, None)


def test_reasons_are_in_the_order_of_how_many_rows_they_have() -> None:
    changes = [
        change("removed", 1),
        change("removed", 2, "near_duplicate"),
        change("removed", 3, "near_duplicate"),
        change("added", 4, "b"),
        change("added", 5, "a"),
    ]
    found = [(kind, reason, len(rows)) for kind, reason, rows in rows_by_reason(changes)]
    assert found == [
        ("added", "no longer a (dedupe: x)", 1),
        ("added", "no longer b (dedupe: x)", 1),
        ("removed", "now near_duplicate (dedupe: x)", 2),
        ("removed", "its row is gone from the sources", 1),
    ]


def test_runs_are_compared_in_what_they_chose_and_in_nothing_else(tmp_path: Path) -> None:
    with open_workspace(Workspace(tmp_path)) as con:
        tell(con)
        assert compare_runs(con, "before", "after").unselected == []
        start_run(con, "begun", {"name": "n", "seed": 0}, "code", {}, ["s1"])
        begun = compare_runs(con, "before", "begun")
    assert begun.unselected == ["begun"] and begun.choice == []
    line = "- selection: not compared, for nothing is chosen yet in begun"
    assert line in changes_markdown(begun)


def test_five_ids_are_named_by_their_first_eight_digits() -> None:
    shown = "example  (because of cause 2)"
    assert named([change("removed", 2, "near_duplicate")]) == shown
    five = [change("added", n) for n in range(5)]
    assert named(five) == ", ".join(["example "] * 5)
    assert named([*five, change("added", 6)]) == ", ".join(["example "] * 5) + ", …"


def test_a_file_that_was_edited_is_one_change_of_its_kind() -> None:
    kinds = ("", " targets", " document")
    both = [
        SourceChange("f", f"{change}{kind}", 1, 0, 0)
        for kind in kinds
        for change in ("new", "gone")
    ]
    assert [each.change for each in join_edits(both)] == [f"edited{kind}" for kind in kinds]
    assert join_edits(both[::2]) == both[::2]
