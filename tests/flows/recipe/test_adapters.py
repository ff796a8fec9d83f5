"""CLEAR in two recipes: one filters and trains, the other repairs with what was trained."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from flows.cli.environment import ENVIRONMENT
from flows.recipe.adapters import place_adapters
from pipeline.generation.makers.repair import Repair
from scorers.measures.models.loading import MissingModelError
from storage.database import Connection, open_workspace, read_workspace
from storage.runs import start_run
from storage.selections import PickedRows, record_export, write_selection, write_trial
from storage.workspace import Workspace
from tests.fine_tune.conftest import tiny_model  # noqa: F401
from tests.fine_tune.tiny import count_rows, export_for, make_rows

REPAIR = {"method": "repair", "prompts": "all", "temperature": 0, "max_new_tokens": 12}


def block(model: str) -> Repair:
    return Repair.model_validate({**REPAIR, "model": model})


def record_trial(con: Connection, recipe: str, trial: str) -> None:
    """A run of a recipe that was trained."""
    start_run(con, f"run-{trial}", {"name": recipe, "seed": 0}, "code", {}, [])
    selection = write_selection(con, f"run-{trial}", PickedRows(trial, ["x"], 1))
    record_export(con, f"export-{trial}", selection, "exports/x", 1, 1)
    write_trial(con, trial, f"export-{trial}", f"models/adapter-{trial}", ({}, None))


def test_an_adapter_is_named_by_its_training(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with open_workspace(workspace) as con:
        for name, trial in (("filter", "aa1"), ("filter", "ab2"), ("repair", "ac3")):
            record_trial(con, name, trial)

    def placed(model: str, recipe: str = "repair") -> str:
        return place_adapters(workspace, [block(model)], recipe)[0].model

    folder = f"adapter:{tmp_path.resolve()}/models/adapter-"
    assert placed("adapter:last") == f"{folder}ab2/adapter"  # not ac3, which is its own
    assert placed("adapter:aa") == f"{folder}aa1/adapter"
    assert placed("adapter:last", "filter") == f"{folder}ac3/adapter"
    assert placed("adapter:/some/where") == "adapter:/some/where"
    assert placed("target") == "target"
    assert block(placed("adapter:aa")).shown_model == "adapter:aa1"
    with pytest.raises(MissingModelError, match=r"adapter:a: 2 trainings.*There are: ab2, aa1"):
        placed("adapter:a")
    with pytest.raises(MissingModelError, match="0 trainings"):
        placed("adapter:zz")


def answer(n: int) -> str:
    """A tenth of the answers are wrong."""
    return "No!" if n % 10 == 0 else "Yes."


def train(model: Path, workspace: Workspace) -> None:
    """An adapter that has learnt to say yes, recorded as the last training of another recipe."""
    rows = [
        replace(
            row,
            prompt=[{"role": "user", "content": f"Is {n} so?"}],
            completion=[{"role": "assistant", "content": "Yes."}],
            tools=[],
        )
        for n, row in enumerate(make_rows(60))
        if n % 10
    ]
    export = export_for(model, workspace.directory / "exports" / "x", count_rows(rows, model))
    settings = TrainSettings(max_steps=60, batch_rows=8, learning_rate=0.03)
    train_adapter(export, model, workspace.models / "adapter-aa1", settings)
    with open_workspace(workspace) as con:
        record_trial(con, "filter", "aa1")


def run(folder: Path, recipe: dict[str, Any]) -> None:
    """`sluice run`, as a user would."""
    (folder / "repair.yaml").write_text(yaml.safe_dump(recipe))
    home = {"PREFECT_HOME": str(folder / "prefect"), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "sluice"), "run", "repair.yaml"],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT, **home},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_was_trained_repairs_what_was_wrong(
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
    one_thread: None,
) -> None:
    rows = [{"prompt": f"Is {n} so?", "completion": answer(n)} for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    workspace = Workspace(tmp_path / "work")
    train(tiny_model, workspace)
    # The judge is random and prefers nothing much, so the bounds are where its numbers lie.
    choose = {"method": "clear_repair", "eta": 0.0, "above": 0.0}
    run(
        tmp_path,
        {
            "name": "repair",
            "workspace": "work",
            "target": str(tiny_model),
            "sources": [{"path": "rows.jsonl"}],
            "generate": [{**REPAIR, "model": "adapter:last"}],
            "measure": {
                "preferences": {},
                "confidence": {"samples": {"answers": 1, "max_new_tokens": 2}},
            },
            "scores": ["confidence", {"scorer": "preference", "settings": {"least_mass": 0.0}}],
            "select": {
                "held_out": 0,
                "steps": [choose, {"method": "random", "budget": {"fraction": 1}}],
            },
        },
    )
    with read_workspace(workspace) as con:
        repaired = con.execute(
            "select p.response, e.response, l.model, count(*) from lineage l "
            "join examples e using (example_id) join examples p on p.example_id = l.parent_id "
            "where method = 'repaired' group by all"
        ).fetchall()
        reasons = con.execute(
            "select reason, count(*) from decisions join runs using (run_id) "
            "where name = 'repair' and stage = 'select' and step = 3 group by all"
        ).fetchall()
    # The tuned model has learnt what nine in ten say, and that is what it repairs the others with.
    assert repaired == [("No!", "Yes.", "adapter:aa1", 6)]
    assert dict(reasons) == {"repaired": 6, "": 60}
