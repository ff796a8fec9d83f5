"""Exports that a training mixes are found by name, and stay what they were."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fine_tune.mixed_export import MixedExport
from fine_tune.mixture import UnknownExportError, draw_places, find_export, pin_exports
from fine_tune.settings import TrainSettings
from pipeline.export.files import write_export
from storage.exports_manifest import read_manifest
from tests.fine_tune.tiny import facts_of, make_rows
from tests.some_model import SOME_MODEL


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    for number, name in enumerate(["code-s1-r1", "my-chat-s1-r1", "twice-s1-r1", "twice-s2-r2"]):
        rows = [replace(row, prompt_tokens=9, loss_tokens=3) for row in make_rows(2 + number)]
        write_export(tmp_path / "exports" / name, rows, facts_of(SOME_MODEL))
    return tmp_path / "exports"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("code", "code-s1-r1"),
        ("code-s1-r1", "code-s1-r1"),
        ("my-chat", "my-chat-s1-r1"),  # a name may have a hyphen
        ("twice-s2", "twice-s2-r2"),  # of one selection
    ],
)
def test_an_export_is_found_by_recipe_selection_or_folder(
    name: str, folder: str, exports: Path
) -> None:
    assert find_export(name, exports) == exports / folder
    assert find_export(str(exports / folder), Path("nowhere")) == exports / folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cod", "0 exports are called 'cod'; give one of code-s1-r1, my-chat-s1-r1"),
        ("my", "0 exports are called 'my'"),
        ("twice", "2 exports are called 'twice'; give one of twice-s1-r1, twice-s2-r2, or"),
    ],
)
def test_what_is_not_one_export_is_refused(name: str, said: str, exports: Path) -> None:
    with pytest.raises(UnknownExportError, match=said):
        find_export(name, exports)
    with pytest.raises(UnknownExportError, match="has no export"):
        find_export(name, exports / "none")


def mixing(**more: str) -> TrainSettings:
    mix = [{}, {"export": "code", **more}]
    return TrainSettings.model_validate({"stages": [{}, {"mix": mix}]})


def test_ids_are_part_of_what_is_trained(exports: Path) -> None:
    own = exports / "my-chat-s1-r1"
    pinned = pin_exports(mixing(), own)
    found = read_manifest(exports / "code-s1-r1").export_id
    assert [each.export_id for each in pinned.stages[1].mix] == [None, found]
    assert pin_exports(pinned, own) == pinned
    assert TrainSettings.model_validate_json(pinned.model_dump_json()) == pinned
    plain = TrainSettings()
    assert pin_exports(plain, own) == plain and "mix" not in json.loads(plain.model_dump_json())


def test_what_a_method_looks_at_is_part_of_it_too(exports: Path) -> None:
    method = {"method": "corda", "knowledge": {"export": "code"}}
    for settings in ({"methods": [method]}, {"stages": [{"methods": [method]}]}):
        named = TrainSettings.model_validate(settings)
        assert named.other_exports() == ["code"]
        pinned = pin_exports(named, exports / "my-chat-s1-r1")
        (looked_at,) = pinned.all_methods()[0].looks_at().values()
        assert looked_at.export_id == read_manifest(exports / "code-s1-r1").export_id
        assert pin_exports(pinned, exports / "my-chat-s1-r1") == pinned
        assert TrainSettings.model_validate_json(pinned.model_dump_json()) == pinned


def test_an_export_that_became_another_is_refused(exports: Path) -> None:
    with pytest.raises(UnknownExportError, match="not 0123, which is asked for"):
        pin_exports(mixing(export_id="0123"), exports / "my-chat-s1-r1")


def test_the_same_export_of_two_runs_is_one(exports: Path) -> None:
    shutil.copytree(exports / "code-s1-r1", exports / "code-s1-r2")
    assert find_export("code", exports) == exports / "code-s1-r1"


IDS = [f"{n:032x}" for n in range(40)]


def drawn(share: float = 1.0, rows: int | None = None, seed: int = 0) -> list[int]:
    return draw_places(IDS, MixedExport(share=share, rows=rows), seed)


@pytest.mark.parametrize(
    ("share", "rows", "count"), [(1.0, None, 40), (0.5, None, 20), (0.001, None, 1), (1, 7, 7)]
)
def test_a_share_is_rounded_up_and_rows_are_at_most_so_many(
    share: float, rows: int | None, count: int
) -> None:
    places = drawn(share, rows)
    assert len(places) == count and places == sorted(set(places))


def test_the_draw_is_of_ids_and_seed_and_not_of_their_order() -> None:
    shuffled = random.Random(3).sample(IDS, len(IDS))
    mixed = MixedExport(share=0.25)
    assert {IDS[at] for at in draw_places(IDS, mixed, 0)} == {
        shuffled[at] for at in draw_places(shuffled, mixed, 0)
    }
    assert drawn(0.25, seed=1) != drawn(0.25, seed=2)
    assert set(drawn(0.1)) < set(drawn(0.3))
