"""The recipes that the documentation gives for methods: each is there once, sound, and trains."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from peft import LoraConfig, get_peft_model

from docs.docstrings import ROOT
from fine_tune.mixture import pin_exports
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from fine_tune.trainer import load_model
from flows.recipe.check import load_recipe
from pipeline.export.rows import RejectedAnswer
from tests.fine_tune.methods.test_contract import CLASSES, name_of
from tests.fine_tune.tiny import count_rows, export_for, make_rows


def table() -> list[tuple[list[str], str, str]]:
    """Methods, recipe and `train` of each row."""
    page = (ROOT / "docs" / "recipes" / "training-methods.md").read_text(encoding="utf-8")
    block = page.partition("## A recipe for each")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \| (.+?) \| (.+?) \|$", block, re.MULTILINE)
    return [(re.findall(r"`(\w+)`", names), recipe, train) for names, recipe, train in rows]


ROWS = table()


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes beside input of the demo's names, which is counted here and not read."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / "demo" / "input").mkdir(parents=True)
    for name in ("stdlib.jsonl", "sharegpt.jsonl"):
        (folder / "demo" / "input" / name).write_text("{}\n" * 60)
    rude = folder / "demo" / "antidote" / "exports" / "rude-answers-all-1"
    export_for(tiny_model, rude, count_rows(make_rows(4), tiny_model))
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    first = get_peft_model(load_model(tiny_model), config)
    first.save_pretrained(str(folder / "demo" / "first-task"))
    return folder


def settings_of(folder: Path, recipe: str, train: str) -> TrainSettings:
    """What a row of the table trains by, the recipe checked as the command line does."""
    (path,) = re.findall(r"\(\.\./\.\./(recipes/\w+\.yaml)\)", recipe)
    changes = []
    if train != "as it is":
        changes = [f"train={json.dumps(yaml.safe_load(train.strip('`')))}"]
    found = load_recipe(folder / path, changes).train
    assert found is not None
    return found


def test_every_method_is_in_the_table_once() -> None:
    named = [name for names, _, _ in table() for name in names]
    assert sorted(named) == sorted(name_of(each) for each in CLASSES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row[0]))
def test_a_row_is_a_sound_recipe_with_just_these_methods(
    row: tuple[list[str], str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # as the comments in them say
    names, recipe, train = row
    assert [each.method for each in settings_of(folder, recipe, train).methods] == names


@pytest.fixture(scope="module")
def two_sources(tiny_model: Path, folder: Path) -> Path:
    rows = count_rows([*make_rows(16), *make_rows(4, "validation")], tiny_model)
    no = {"role": "assistant", "content": "No."}
    rows = [
        replace(
            row,
            source="ab"[n % 2],
            scores={"perplexity": 150.0 + n, "sftmix_class": n % 3 % 2},
            rejected=RejectedAnswer(f"{99:032x}", no, 5, "r"),
        )
        for n, row in enumerate(rows)
    ]
    exports = folder / "demo" / "antidote" / "exports"  # beside what antidote looks at
    return export_for(tiny_model, exports / "two", rows, scores=("perplexity", "sftmix_class"))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row[0]))
def test_a_row_trains(
    row: tuple[list[str], str, str],
    folder: Path,
    tiny_model: Path,
    two_sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    names, recipe, train = row
    few: dict[str, Any] = {"lora_rank": 2, "max_steps": 5 if "coba" in names else 2}
    said = settings_of(folder, recipe, train).model_copy(update=few)
    settings = pin_exports(said, two_sources)
    report = train_adapter(two_sources, tiny_model, tmp_path / "out", settings)
    assert report.steps == few["max_steps"] and report.heldout_after is not None
    noted = {note.partition(":")[0] for note in report.method_notes}
    assert noted <= set(names)
