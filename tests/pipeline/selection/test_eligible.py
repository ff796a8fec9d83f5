"""What the recipe's own steps are given is told from the books of a run."""

from pathlib import Path

from pipeline.selection.eligible import read_first_steps
from pipeline.selection.run_steps import NOT_HELD_OUT
from storage.database import open_workspace
from storage.runs import StageCount, write_step
from storage.workspace import Workspace


def test_the_first_steps_are_those_before_the_recipes_own(tmp_path: Path) -> None:
    labels = ["licences", "can be trained on", NOT_HELD_OUT, "top_k()"]
    with open_workspace(Workspace(tmp_path)) as con:
        for step in (3, 1, 4, 2):
            write_step(con, "run", StageCount("select", step, labels[step - 1], 9, 9), None)
        write_step(con, "run", StageCount("dedupe", 1, "exact", 9, 9), None)
        found = [(each.stage, each.label) for each in read_first_steps(con, "run")]
    assert found == [("select", label) for label in labels[:3]]
