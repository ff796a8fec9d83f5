"""A soup of trainings that are there is the soup of those trained for it, without training."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from fine_tune.cost import read_cost
from fine_tune.mixture import pin_exports
from fine_tune.named_trainings import find_training, unlike
from fine_tune.report import read_train_report
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter

PLAIN = TrainSettings(max_steps=2, lora_rank=2, learning_rate=1e-2)


def soup_of(trainings: Sequence[Path], choose: str = "uniform", **more: object) -> TrainSettings:
    named = [{"training": str(folder)} for folder in trainings]
    soup = {"trainings": named, "choose": choose}
    return TrainSettings.model_validate({**PLAIN.model_dump(), **more, "soup": soup})


@pytest.fixture(scope="module")
def two(
    tiny_export: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Two trainings that differ in their seeds."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        settings = PLAIN.model_copy(update={"seed": seed})
        train_adapter(tiny_export, tiny_model, folder / str(seed), settings)
    return [folder / "0", folder / "1"]


@pytest.mark.slow
@pytest.mark.parametrize("choose", ["uniform", "greedy"])
def test_it_has_the_weights_of_the_soup_that_trains_its_members(
    choose: str, two: list[Path], tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    found = train_adapter(tiny_export, tiny_model, tmp_path / "named", soup_of(two, choose))
    soup = {"seeds": [0, 1], "choose": choose}
    settings = TrainSettings.model_validate({**PLAIN.model_dump(), "soup": soup})
    expected = train_adapter(tiny_export, tiny_model, tmp_path / "trained", settings)
    weights = "adapter/adapter_model.safetensors"
    named, trained = (tmp_path / name / weights for name in ("named", "trained"))
    assert named.read_bytes() == trained.read_bytes()
    assert found.heldout_after == expected.heldout_after
    assert found.heldout_before == expected.heldout_before
    assert (found.steps, found.losses, found.train.rows) == (0, (), 0)
    assert found.method_notes[:2] == expected.method_notes[:2]
    assert found.method_notes[2] == "member 2 differs from member 1 in settings.seed (1, not 0)"
    assert found.method_notes[-1] == expected.method_notes[-1]
    cost = read_cost(tmp_path / "named")
    assert cost is not None and (cost.rows, cost.executions) == (0, 1)
    assert all((folder / weights).is_file() for folder in two), "the members stay"
    again = train_adapter(tiny_export, tiny_model, tmp_path / "named", soup_of(two, choose))
    assert again == found


def rewritten(folder: Path, copy: Path, **training: Any) -> Path:  # noqa: ANN401 - JSON
    """A copy of a training whose report says something else of it."""
    shutil.copytree(folder, copy)
    report = orjson.loads((copy / "report.json").read_bytes())
    settings = {**report["training"]["settings"], **training.pop("settings", {})}
    report["training"] |= {**training, "settings": settings}
    (copy / "report.json").write_bytes(orjson.dumps(report))
    return copy


def test_what_has_no_mean_with_the_others_is_refused_before_anything_is_written(
    two: list[Path], tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    other_model = rewritten(two[0], tmp_path / "model", model_fingerprint="another")
    other_tune = rewritten(two[0], tmp_path / "tune", settings={"tune": "full"})
    by_eva = rewritten(two[0], tmp_path / "eva", settings={"methods": [{"method": "eva"}]})
    bare = rewritten(two[0], tmp_path / "bare")
    shutil.rmtree(bare / "adapter")
    for folder, told in (
        (other_model, "was trained from another model"),
        (other_tune, "was trained with tune: full"),
        (by_eva, "is by eva, which gives layers ranks of their own"),
        (bare, "adapter is gone"),
    ):
        with pytest.raises(ValueError, match=told):
            train_adapter(tiny_export, tiny_model, tmp_path / "out", soup_of([two[1], folder]))
    assert not (tmp_path / "out").exists()


def test_a_training_is_named_by_its_folder_or_by_its_id_in_the_workspace(
    two: list[Path], tmp_path: Path
) -> None:
    export = tmp_path / "w" / "exports" / "e"
    shutil.copytree(two[0], tmp_path / "w" / "models" / "adapter-1f0c")
    assert find_training("1f0c", export) == tmp_path / "w" / "models" / "adapter-1f0c"
    assert find_training(str(two[1]), export) == two[1]
    with pytest.raises(ValueError, match="no finished training 'nowhere'"):
        find_training("nowhere", export)


def test_what_a_name_stands_for_is_part_of_what_the_soup_is(
    two: list[Path], tiny_export: Path, tmp_path: Path
) -> None:
    pinned = pin_exports(soup_of(two), tiny_export)
    report = read_train_report(two[0])
    assert report and pinned.soup and pinned.soup.trainings[0].key == report.key
    moved = shutil.copytree(two[1], tmp_path / "moved")
    assert pin_exports(pinned, tiny_export) == pinned
    shutil.rmtree(moved)
    changed = rewritten(two[1], moved)
    other = orjson.loads((changed / "report.json").read_bytes()) | {"key": "other"}
    (changed / "report.json").write_bytes(orjson.dumps(other))
    named = pinned.soup.trainings[1].model_copy(update={"training": str(changed)})
    soup = pinned.soup.model_copy(update={"trainings": (pinned.soup.trainings[0], named)})
    with pytest.raises(ValueError, match=r"is the training other, not "):
        pin_exports(pinned.model_copy(update={"soup": soup}), tiny_export)
    assert unlike([report, report]) == []
    assert (
        "trainings"
        not in TrainSettings.model_validate({"soup": {"seeds": [0, 1]}}).model_dump()["soup"]
    )
