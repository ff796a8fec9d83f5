"""What two runs have apart, row by row: worked out by hand, with other runs beside them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.changes import (
    ChoiceChange,
    DescribedRun,
    Edit,
    PoolChange,
    SourceChange,
    count_stayed,
    describe_run,
    find_previous,
    read_choice_changes,
    read_edits,
    read_pool_change,
    read_source_changes,
)
from storage.conversations import Conversation
from storage.database import Connection, QueryError, open_workspace
from storage.decisions import Decisions
from storage.documents import (
    DocumentCut,
    DocumentPlace,
    StoredDocument,
    write_passages,
    write_run_documents,
)
from storage.runs import StageCount, start_run, write_run_targets, write_step
from storage.selections import PickedRows, write_selection
from storage.sources import ReadRow, Source, add_source, complete_source, write_rows
from storage.workspace import Workspace

ROWS = {  # source: its path, and its rows
    "s1": ("a.jsonl", "AAB"),
    "s2": ("b.jsonl", "BCF"),
    "s3": ("a.jsonl", "CDD"),
    "s4": ("empty.jsonl", ""),
    "s5": ("0.jsonl", "A"),
    "s6": ("other.jsonl", "E"),
    "t1": ("t.jsonl", "E"),
    "t2": ("t.jsonl", "AE"),
}
SOURCES = {"before": ["s1", "s2", "s5"], "after": ["s2", "s3", "s4"], "other": ["s6"]}
TARGETS = {"before": ["t1"], "after": ["t2"], "other": ["s6"]}
DOCUMENTS = {  # run: path and cut of each file; scan.pdf gave no text
    "before": [("d.md", "d4"), ("same.md", "s2"), ("scan.pdf", "none")],
    "after": [("d.md", "d7"), ("renamed.md", "s2")],
    "other": [],
}
CHOSEN = {"before": "FBA", "after": "CBD", "other": "E"}

TALKS = {
    name: Conversation([{"role": "user", "content": name}, {"role": "assistant", "content": "x"}])
    for name in "ABCDEF"
}
IDS = {name: talk.example_id for name, talk in TALKS.items()}
STEPS = [("dedupe", 1), ("dedupe", 2), ("select", 1), ("select", 2)]
DROPPED = {  # run, stage and step: which row, why, because of which
    ("before", "select", 2): ("C", "over_budget", "F", 0.5),
    ("after", "dedupe", 1): ("F", "exact_duplicate", "B", None),
    ("other", "dedupe", 1): ("C", "of another run", "A", None),
    ("other", "select", 2): ("F", "of another run", "A", None),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Three runs of one recipe, one after the other; the tests only read."""
    with open_workspace(Workspace(tmp_path_factory.mktemp("told"))) as con:
        tell(con)
        yield con


def tell(con: Connection) -> None:
    """Store the runs, with what they read, decided and chose."""
    for source_id, (path, rows) in ROWS.items():
        add_source(con, Source(source_id, path, None, None, "", source_id, 1))
        read = [ReadRow(n, TALKS[name], "messages") for n, name in enumerate(rows, start=1)]
        write_rows(con, source_id, read, [])
        complete_source(con, source_id, len(rows))
    for cut, passages in (("d4", 4), ("d7", 7), ("s2", 2)):
        document = StoredDocument(cut, cut, "markdown", "r", 1, 1, None, "t", None, "")
        write_passages(con, document, DocumentCut(cut, cut, 512, 64, 64, "t", passages), [])
    for run_id, sources in SOURCES.items():
        places = [DocumentPlace(path, path, "mit", cut, cut) for path, cut in DOCUMENTS[run_id]]
        write_run_documents(con, run_id, places)
        recipe = {"name": "n", "seed": len(run_id)}
        start_run(con, run_id, recipe, f"code of {run_id}", {"m": run_id}, sources)
        write_run_targets(con, run_id, TARGETS[run_id])
        for stage, step in STEPS:
            decide(con, run_id, stage, step)
        ids = [IDS[name] for name in CHOSEN[run_id]]
        parent = write_selection(con, run_id, PickedRows(f"of {run_id}", ids, 9))
        control = PickedRows("control", [IDS["E"], IDS["F"]], 9, "random", parent)
        write_selection(con, run_id, control)


def decide(con: Connection, run_id: str, stage: str, step: int) -> None:
    """One step, which keeps every row but one at most."""
    row, reason, cause, value = DROPPED.get((run_id, stage, step), ("", "", "A", None))
    ids = list(IDS.values())
    reasons = [reason if name == row else "" for name in IDS]
    causes = [IDS[cause] if name == row else None for name in IDS]
    values = [value if name == row else None for name in IDS]
    dropped = {reason: 1} if row else {}
    label = f"{run_id} {stage} {step}"
    count = StageCount(stage, step, label, len(ids), len(ids) - len(dropped), dropped=dropped)
    write_step(con, run_id, count, Decisions(ids, reasons, causes, values))


def test_sources_are_told_by_path_with_the_examples_that_came_or_went(told: Connection) -> None:
    assert read_source_changes(told, "before", "after") == [
        SourceChange("0.jsonl", "gone", 1, 0, 1),
        SourceChange("a.jsonl", "new", 3, 1, 0),  # D, twice; C was there before
        SourceChange("a.jsonl", "gone", 3, 0, 1),  # A, twice; B is still there
        SourceChange("empty.jsonl", "new", 0, 0, 0),
        SourceChange("t.jsonl", "new targets", 2, 0, 0),
        SourceChange("t.jsonl", "gone targets", 1, 0, 0),
        SourceChange("d.md", "new document", 7, 0, 0),
        SourceChange("d.md", "gone document", 4, 0, 0),
        SourceChange("scan.pdf", "gone document", None, 0, 0),
    ]


def test_examples_are_counted_once_however_often_they_stand(told: Connection) -> None:
    assert read_pool_change(told, "before", "after") == PoolChange(new=1, retired=1, stayed=3)
    assert read_pool_change(told, "after", "other") == PoolChange(new=1, retired=4, stayed=0)


def test_a_place_in_a_file_with_another_row_is_an_edit(told: Connection) -> None:
    # A stood at the second line of a.jsonl, where D stands now.
    assert read_edits(told, "before", "after") == [Edit(IDS["A"], IDS["D"])]


def test_a_row_with_the_prompt_it_had_is_an_edit_wherever_it_stands_in_its_file(
    tmp_path: Path,
) -> None:
    talks = {
        name: Conversation(
            [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        )
        for name, prompt, answer in (
            ("x1", "p", "1"),
            ("x2", "p", "2"),
            ("x3", "p", "4"),
            ("y1", "q", "3"),
            ("y2", "r", "3"),
        )
    }
    ids = {name: talk.example_id for name, talk in talks.items()}
    with open_workspace(Workspace(tmp_path)) as con:
        for run_id, path, names in (
            ("was", "f.jsonl", ["x1", "y1"]),
            ("is", "f.jsonl", ["x3", "y2", "x2"]),
            ("moved", "g.jsonl", ["x2"]),
        ):
            add_source(con, Source(run_id, path, None, None, "", run_id, 1))
            read = [ReadRow(n, talks[name], "messages") for n, name in enumerate(names, start=1)]
            write_rows(con, run_id, read, [])
            complete_source(con, run_id, len(names))
            start_run(con, run_id, {"name": "m", "seed": 0}, "code", {}, [run_id])
        # Two rows have the prompt of x1, and y2 stands where y1 stood.
        assert {(ids["x1"], ids["x2"]), (ids["x1"], ids["x3"]), (ids["y1"], ids["y2"])} == set(
            read_edits(con, "was", "is")
        )
        assert read_edits(con, "was", "moved") == [], "it is another file"


def test_each_row_that_came_or_left_has_what_the_other_run_decided(told: Connection) -> None:
    nothing = (None,) * 5
    over = ("select", "before select 2", "over_budget", IDS["F"], 0.5)
    copy = ("dedupe", "after dedupe 1", "exact_duplicate", IDS["B"], None)
    assert read_choice_changes(told, "before", "after") == [
        ChoiceChange("added", 1, IDS["C"], *over),
        ChoiceChange("added", 3, IDS["D"], *nothing),
        ChoiceChange("removed", 1, IDS["F"], *copy),
        ChoiceChange("removed", 3, IDS["A"], *nothing),
    ]
    assert count_stayed(told, "before", "after") == (1, 0)
    assert count_stayed(told, "before", "other") == (0, 0)


def test_a_row_that_stays_with_other_turns_is_told(told: Connection) -> None:
    def train(run: str, turns: str) -> None:
        told.execute(
            f"update selection_rows set turns = {turns} where selection_id in (select "
            "selection_id from run_selections where run_id = ? and kind = 'choice')",
            [run],
        )

    train("after", "[1]")
    assert count_stayed(told, "before", "after") == count_stayed(told, "after", "before") == (1, 1)
    train("before", "[3]")
    assert count_stayed(told, "before", "after") == (1, 1)
    train("before", "[1]")
    assert count_stayed(told, "before", "after") == (1, 0)


def test_a_run_is_described_and_follows_the_one_before(told: Connection) -> None:
    recipe = {"name": "n", "seed": 5}
    assert describe_run(told, "after") == DescribedRun("n", recipe, "code of after", {"m": "after"})
    before = [find_previous(told, run_id) for run_id in SOURCES]
    assert before == [None, "before", "after"]
    with pytest.raises(QueryError, match="no run 'none' in this workspace"):
        describe_run(told, "none")
