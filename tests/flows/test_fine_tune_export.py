import shutil
from pathlib import Path

import orjson
import pytest

from fine_tune.outcome import TrainingOutcome, with_template_of
from fine_tune.settings import TrainSettings
from flows import fine_tune_export
from flows.fine_tune_export import fine_tune, train_export
from tests.fine_tune.conftest import tiny_export, tiny_model  # noqa: F401


def take_the_place(monkeypatch: pytest.MonkeyPatch) -> list[TrainingOutcome]:
    """Have nothing go to a server; what would be told to it is in the list."""
    told: list[TrainingOutcome] = []
    monkeypatch.setattr(fine_tune_export, "report_back", told.append)
    monkeypatch.setattr(fine_tune_export, "show_training", lambda *_: None)
    monkeypatch.setattr(fine_tune_export, "train_export", train_export.fn)
    monkeypatch.setattr(fine_tune_export, "ProgressArtifact", lambda *_: Quiet())
    return told


class Quiet:
    def at(self, done: int, total: int) -> None:
        """Nobody watches."""


@pytest.fixture
def export(tmp_path: Path, tiny_export: Path, one_thread: None) -> Path:  # noqa: F811
    """An export in a workspace, whose recipe trains for one step."""
    place = tmp_path / "work" / "exports" / "tiny"
    shutil.copytree(tiny_export, place)
    return place


SETTINGS = TrainSettings(max_steps=1, lora_rank=2)


@pytest.mark.slow
def test_it_needs_the_export_alone(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = take_the_place(monkeypatch)
    monkeypatch.setattr(fine_tune_export, "recipe_settings", lambda _: SETTINGS)
    monkeypatch.setattr(fine_tune_export, "read_recipe", lambda _: {"name": "r"})
    fine_tune.fn(str(export))
    (outcome,) = told
    workspace = export.parent.parent
    assert outcome.workspace == str(workspace) and outcome.adapter.startswith("models/adapter-")
    assert (workspace / outcome.adapter / "adapter" / "adapter_model.safetensors").is_file()
    assert orjson.loads((workspace / outcome.adapter / "report.json").read_bytes())["steps"] == 1
    fine_tune.fn(str(export))  # trained already: it is told of again
    assert told == [outcome, outcome]


@pytest.mark.slow
def test_output_and_settings_can_be_given(
    export: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = take_the_place(monkeypatch)
    monkeypatch.setattr(fine_tune_export, "read_recipe", lambda _: {"name": "r"})
    fine_tune.fn(str(export), str(tmp_path / "elsewhere"), SETTINGS)
    assert told[0].adapter == str(tmp_path / "elsewhere")
    assert told[0].report["training"]["settings"] == SETTINGS.model_dump(mode="json")


def test_a_template_that_lies_in_the_export_is_the_models(tmp_path: Path) -> None:
    named = "wheel:x?chat_template=beside/recipe.jinja"
    assert with_template_of(tmp_path, "wheel:x") == "wheel:x"
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    found = f"wheel:x?chat_template={tmp_path}/chat_template.jinja"
    assert with_template_of(tmp_path, named) == with_template_of(tmp_path, "wheel:x") == found
