"""Stages follow each other, are gone on with after a kill, and mix the exports they name."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from fine_tune import stages
from fine_tune.one_training import train_once
from fine_tune.report import TrainReport
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from tests.fine_tune.test_train import files_of
from tests.fine_tune.tiny import count_rows, export_for, heldout_loss, make_rows

pytestmark = pytest.mark.slow

QUICK = {"lora_rank": 2, "learning_rate": 1e-2, "save_every_steps": 1}


@pytest.fixture(scope="module")
def exports(tiny_model: Path, tiny_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny export and one of 8 other rows."""
    folder = tmp_path_factory.mktemp("w") / "exports"
    shutil.copytree(tiny_export, folder / "general-a-r")
    export_for(tiny_model, folder / "special-b-r", count_rows(make_rows(8), tiny_model))
    return folder


def settings(**more: Any) -> TrainSettings:  # noqa: ANN401 - settings of any kind
    return TrainSettings.model_validate({**QUICK, **more})


DMT = [
    {"mix": [{"export": "special"}]},
    {"mix": [{}, {"export": "special", "share": 0.25}], "epochs": 2, "learning_rate": 5e-3},
]


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_stages_go_on_from_each_other(
    tune: str, exports: Path, tiny_model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    report = train_adapter(
        exports / "general-a-r", tiny_model, output, settings(tune=tune, stages=DMT)
    )
    assert report.steps == 2 + 2 * 4 and report.train.rows == 12 + 2
    assert report.method_notes[0].startswith("stage 1: 8 rows in 2 steps, held-out loss")
    after = report.heldout_after
    assert report.heldout_before and after
    first = float(report.method_notes[0].rsplit(" ", 1)[1])
    assert after.nats_per_token < first < report.heldout_before.nats_per_token
    weights = "adapter" if tune == "lora" else "model"
    assert sorted(each.name for each in output.iterdir()) == sorted(
        [weights, "cost.json", "report.json", "training.json"]
    )
    model, adapter = (tiny_model, output / weights) if tune == "lora" else (output / weights, None)
    read = heldout_loss(model, adapter, exports / "general-a-r")
    assert read.nats_per_token == pytest.approx(after.nats_per_token, rel=1e-5)


def test_a_stage_alone_is_the_training_it_says(
    exports: Path, tiny_model: Path, tmp_path: Path
) -> None:
    own = exports / "general-a-r"
    one = train_adapter(own, tiny_model, tmp_path / "one", settings(stages=[{"epochs": 2}]))
    plain = train_adapter(own, tiny_model, tmp_path / "plain", settings(epochs=2))
    assert one.losses == plain.losses and one.heldout_after == plain.heldout_after
    assert one.train == plain.train
    name = "adapter/adapter_model.safetensors"
    assert files_of(tmp_path / "one")[name] == files_of(tmp_path / "plain")[name]


def test_what_was_killed_between_or_in_stages_goes_on(
    exports: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, wanted = exports / "general-a-r", settings(stages=DMT)
    undisturbed = train_adapter(own, tiny_model, tmp_path / "whole", wanted)

    class Killed(Exception):
        pass

    steps: list[int] = []
    for at in (2, 5, 9):  # the last of stage 1, and two in stage 2

        def kill(step: int, total: int, loss: float, at: int = at) -> None:
            steps.append(step)
            if len(steps) == at:
                raise Killed

        with pytest.raises(Killed):
            train_adapter(own, tiny_model, tmp_path / "killed", wanted, kill)
    said: list[int] = []
    report = train_adapter(
        own, tiny_model, tmp_path / "killed", wanted, lambda step, *_: said.append(step)
    )
    assert report == undisturbed and len(said) < 8
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    monkeypatch.setattr(stages, "train_once", lambda *_: pytest.fail("it trained again"))
    assert train_adapter(own, tiny_model, tmp_path / "killed", wanted) == undisturbed


def test_a_stage_that_was_finished_is_not_done_again(
    exports: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, wanted = exports / "general-a-r", settings(stages=DMT)
    done: list[TrainReport] = []

    def first_only(*given: Any) -> TrainReport:  # noqa: ANN401
        if done:
            raise KeyboardInterrupt
        done.append(train_once(*given))
        return done[0]

    monkeypatch.setattr(stages, "train_once", first_only)
    with pytest.raises(KeyboardInterrupt):
        train_adapter(own, tiny_model, tmp_path / "out", wanted)
    monkeypatch.setattr(stages, "train_once", train_once)
    said: list[int] = []
    report = train_adapter(own, tiny_model, tmp_path / "out", wanted, lambda n, *_: said.append(n))
    assert len(said) == report.steps - done[0].steps


def test_what_is_written_names_the_exports(exports: Path, tiny_model: Path, tmp_path: Path) -> None:
    own = exports / "general-a-r"
    train_adapter(
        own, tiny_model, tmp_path / "out", settings(mix=[{"export": "special", "rows": 3}])
    )
    stored = json.loads((tmp_path / "out" / "training.json").read_bytes())
    (mixed,) = stored["settings"]["mix"]
    manifest = json.loads((exports / "special-b-r" / "manifest.json").read_bytes())
    assert mixed["export_id"] == manifest["export_id"] and mixed["rows"] == 3
    assert load_dataset(str(own), split="train").num_rows == 12
