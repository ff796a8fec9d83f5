"""What is predicted of every shape is what the trainers' own code made of it.

`recorded.json` holds the hashes of ids and labels that the trainers of these versions gave for
exports of every shape; the slow tests of test_verify.py run them again.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.handoff.catalogue import TRAINERS
from pipeline.handoff.write import PREDICTION_FILE, Wish, write_handoff
from tests.exports_of_every_shape import SHAPES, export_of_every_shape

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
EXPORT_FAMILIES = ("qwen2_5", "qwen3", "llama3", "smollm2")


class OfFamily(NamedTuple):
    """A family's name, and the folder with its export and model."""

    name: str
    folder: Path


@pytest.fixture(scope="module", params=EXPORT_FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OfFamily:
    folder = tmp_path_factory.mktemp(request.param)
    export_of_every_shape(request.param, folder)
    return OfFamily(request.param, folder)


@pytest.mark.parametrize("name", TRAINERS)
def test_each_row_is_predicted_as_the_trainer_held_it(family: OfFamily, name: str) -> None:
    trainer = TRAINERS[name]
    for form in trainer.forms:
        folder = family.folder
        wish = Wish(folder / "export", trainer, form, folder / "model", "model", allow_lost=True)
        write_handoff(wish, folder / f"{name}-{form}")
        lines = (folder / f"{name}-{form}" / PREDICTION_FILE).read_text().splitlines()
        kept = [row["sha256"] for row in map(json.loads, lines) if row["outcome"] == "kept"]
        held = RECORDED[family.name][name][form]
        assert sorted(sha256[:16] for sha256 in kept) == sorted(held)


def test_something_is_recorded_of_each_trainer() -> None:
    for recorded in RECORDED.values():
        assert recorded.keys() == TRAINERS.keys()
    for name in TRAINERS:
        assert any(len(each[name]["conversations"]) > len(SHAPES) / 2 for each in RECORDED.values())
