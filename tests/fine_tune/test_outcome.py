from pathlib import Path
from typing import Any

import orjson
import pytest

from fine_tune.cost import read_cost
from fine_tune.outcome import (
    MOST_LOSSES,
    finished_outcomes,
    read_outcome,
    recipe_settings,
    thin_losses,
    training_folder,
    trial_identity,
    workspace_of,
)
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter

SETTINGS = TrainSettings(max_steps=1, lora_rank=2)


def test_a_training_goes_into_the_workspace_of_its_export_or_beside_it(tmp_path: Path) -> None:
    inside, alone = tmp_path / "work" / "exports" / "best", tmp_path / "copied" / "best"
    assert workspace_of(inside) == tmp_path / "work"
    assert training_folder(inside, "t1") == tmp_path / "work" / "models" / "adapter-t1"
    assert workspace_of(alone) is None
    assert training_folder(alone, "t1") == tmp_path / "copied" / "adapter-t1"


def test_every_part_of_a_training_is_in_its_id() -> None:
    ids = {
        trial_identity("e", "m", SETTINGS),
        trial_identity("f", "m", SETTINGS),
        trial_identity("e", "n", SETTINGS),
        trial_identity("e", "m", SETTINGS.model_copy(update={"seed": 1})),
    }
    assert len(ids) == 4
    assert trial_identity("e", "m", SETTINGS) == trial_identity("e", "m", SETTINGS)


def test_an_outcome_is_what_the_folder_holds(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "adapter-t"
    (tmp_path / "models" / "adapter-unfinished").mkdir(parents=True)
    assert list(finished_outcomes(tmp_path)) == []
    report = train_adapter(tiny_export, tiny_model, folder, SETTINGS)
    (outcome,) = finished_outcomes(tmp_path)
    training = report.training
    assert outcome.export_id == training.export_id
    assert outcome.trial_id == trial_identity(
        training.export_id, training.model_fingerprint, SETTINGS
    )
    assert outcome.adapter == "models/adapter-t"
    assert outcome.report == report.model_dump(mode="json")
    assert outcome.cost == read_cost(folder) is not None
    alone = read_outcome(folder, None)
    assert alone is not None and alone.workspace is None and alone.adapter == str(folder)


def test_a_long_training_reports_some_of_its_losses() -> None:
    short: dict[str, Any] = {"steps": 2, "losses": [1.0, 0.5]}
    assert thin_losses(short) == short
    long = {"steps": 5001, "losses": [float(n) for n in range(5001)]}
    thinned = thin_losses(long)
    assert thinned["losses"][:3] == [0.0, 3.0, 6.0] and thinned["losses_every"] == 3
    assert len(thinned["losses"]) <= MOST_LOSSES


def test_settings_are_those_of_the_recipe_in_the_export(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_bytes(orjson.dumps({"name": "r", "train": {"epochs": 3}}))
    assert recipe_settings(tmp_path) == TrainSettings(epochs=3)
    (tmp_path / "recipe.json").write_bytes(orjson.dumps({"name": "r", "train": None}))
    with pytest.raises(ValueError, match="no `train` block; give the parameter"):
        recipe_settings(tmp_path)
