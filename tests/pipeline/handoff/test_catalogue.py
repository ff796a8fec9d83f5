"""What is predicted of every shape is what the trainers' own code made of it.

`recorded.json` holds the hashes of ids and labels that the trainers of these versions gave for
exports of every shape. The slow tests of test_verify.py ask the trainers again, for some of them.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.handoff.catalogue import TRAINERS
from pipeline.handoff.write import PREDICTION_FILE, Wish, write_handoff
from tests.exports_of_every_shape import SHAPES, Turn, answer, export_of_every_shape, user

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


def held(family: str, name: str, turns: list[Turn], folder: Path) -> str | None:
    """Why a trainer does not hold a conversation; None where it does."""
    export_of_every_shape(family, folder, {"plain": SHAPES["plain"], "asked": (turns, ())})
    wish = Wish(folder / "export", TRAINERS[name], "conversations", folder / "model", "model", True)
    write_handoff(wish, folder / "out")
    rows = map(json.loads, (folder / "out" / PREDICTION_FILE).read_text().splitlines())
    reason: str | None = next(row["reason"] for row in rows if row["row_id"] == f"{2:032x}")
    return reason


def test_a_text_with_a_token_that_llamafactory_would_add_is_not_held(tmp_path: Path) -> None:
    turns = [user("what is <|eom_id|>?"), answer("a token")]
    reason = held("llama3", "llamafactory", turns, tmp_path)
    assert reason is not None and "<|eom_id|>" in reason


@pytest.mark.parametrize("read_only", [1, 2, 3])
@pytest.mark.parametrize("name", ["axolotl", "ms-swift"])
def test_a_turn_that_is_read_only_may_stand_anywhere(
    name: str, read_only: int, tmp_path: Path
) -> None:
    turns = [
        turn
        for number in range(1, 5)
        for turn in (user("a?"), answer("b.", **({"weight": 0} if number == read_only else {})))
    ]
    assert held("qwen2_5", name, turns, tmp_path) is None


def test_ms_swift_gets_no_gemma_whose_last_line_break_it_leaves_out(tmp_path: Path) -> None:
    reason = held("gemma", "ms-swift", [user("a"), answer("b")], tmp_path)
    assert reason is not None and "no template" in reason


def test_ms_swift_gets_no_chatml_with_a_tokenizer_that_begins_texts(tmp_path: Path) -> None:
    export = export_of_every_shape("chatml", tmp_path, {"plain": SHAPES["plain"]})
    file = tmp_path / "model" / "tokenizer.json"
    described = json.loads(file.read_text())
    described["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|im_start|>": {
            "id": "<|im_start|>", "ids": [256], "tokens": ["<|im_start|>"]}},
    }  # fmt: skip
    file.write_text(json.dumps(described))
    wish = Wish(export, TRAINERS["ms-swift"], "conversations", tmp_path / "model", "model", True)
    (lost,) = write_handoff(wish, tmp_path / "out").lost
    assert "beginning-of-text" in lost.reason


def test_something_is_recorded_of_each_trainer() -> None:
    for recorded in RECORDED.values():
        assert recorded.keys() == TRAINERS.keys()
    for name in TRAINERS:
        assert any(len(each[name]["conversations"]) > len(SHAPES) / 2 for each in RECORDED.values())
