"""The trainers' own code, in environments with the versions that they ask for.

The environments are made once, in the user's cache, from the package index; where there is none
these tests are skipped. open-instruct is on no index: its reader is tried with a checkout that
`SLUICE_OPEN_INSTRUCT` names.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from pipeline.handoff.catalogue import TRAINERS
from pipeline.handoff.environment import set_up_trainer, trainers_place
from pipeline.handoff.trainer import Form
from pipeline.handoff.verify import (
    TrainerCode,
    TrainerFailedError,
    VerifiedSplit,
    compare_handoff,
    require_source,
)
from pipeline.handoff.write import HandoffError, Wish, write_handoff
from pipeline.serving.own_environment import EnvironmentSetUpError
from storage.exports_manifest import hash_file
from tests.exports_of_every_shape import SHAPES, export_of_every_shape

CHECKOUT = "SLUICE_OPEN_INSTRUCT"
FEW = {name: SHAPES[name] for name in ("plain", "dialogue")}


def trainer_code(name: str) -> TrainerCode:
    trainer = TRAINERS[name]
    checkout = os.environ.get(CHECKOUT)
    if trainer.found == "here":
        return TrainerCode(Path(sys.executable))
    if trainer.found == "checkout" and checkout is None:
        pytest.skip(f"{name} is on no package index, and {CHECKOUT} names no checkout")
    try:
        environment = set_up_trainer(trainer, trainers_place(), lambda line: None)
    except EnvironmentSetUpError as error:
        pytest.skip(f"no environment for {name}: {error}")
    # A checkout may be a copy without its history.
    own = Path(checkout) if checkout and trainer.found == "checkout" else None
    return TrainerCode(environment.python, own, any_version=own is not None)


def handed_over(folder: Path, name: str, form: Form, *, lost: bool = False) -> Path:
    wish = Wish(folder / "export", TRAINERS[name], form, folder / "model", "model", allow_lost=lost)
    assert write_handoff(wish, folder / "out").complete
    return folder / "out"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form", "family"),
    [
        *(
            ("llamafactory", "conversations", name)
            for name in ("qwen2_5", "qwen3", "llama3_1", "gemma")
        ),
        *(("ms-swift", "conversations", family) for family in ("qwen3", "llama3", "smollm2")),
        *(("axolotl", "conversations", family) for family in ("qwen2_5", "llama3", "smollm2")),
        *(("verl", "conversations", family) for family in ("qwen2_5", "llama3", "smollm2")),
        *(("open-instruct", "conversations", family) for family in ("qwen3", "llama3")),
        *(("trl", "conversations", family) for family in ("qwen3", "llama3_1")),
        *((name, "tokens", "qwen3") for name in ("trl", "llamafactory", "axolotl")),
    ],
)
def test_the_trainer_holds_every_row_as_predicted(
    tmp_path: Path, name: str, form: Form, family: str
) -> None:
    code = trainer_code(name)
    export_of_every_shape(family, tmp_path)
    splits = compare_handoff(handed_over(tmp_path, name, form, lost=True), code)
    assert {split.split for split in splits} == {"train", "validation"}
    assert all(split.held == split.predicted > 0 for split in splits)
    assert not any(split.missing for split in splits)


@pytest.mark.slow
def test_a_trainer_that_reads_otherwise_is_found_out(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path, FEW)
    folder = handed_over(tmp_path, "trl", "tokens")
    rows = [json.loads(line) for line in (folder / "prediction.jsonl").read_text().splitlines()]
    rows[0]["sha256"] = "0" * 64
    forged = "\n".join(map(json.dumps, rows)) + "\n"
    (folder / "prediction.jsonl").write_text(forged)
    described = json.loads((folder / "handoff.json").read_text())
    described["files"]["prediction.jsonl"] = hash_file(folder / "prediction.jsonl")
    (folder / "handoff.json").write_text(json.dumps(described))
    (train, validation) = compare_handoff(folder, TrainerCode(Path(sys.executable)))
    assert train == VerifiedSplit("train", 2, 2, (rows[0]["row_id"],))
    assert train.unexpected == 1 and not validation.missing


@pytest.mark.slow
def test_a_trainer_that_breaks_is_quoted(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path, FEW)
    folder = handed_over(tmp_path, "trl", "tokens")
    (folder / "train.py").write_text("")  # configurations are the user's to change
    with pytest.raises(TrainerFailedError, match="names no max_length"):
        compare_handoff(folder, TrainerCode(Path(sys.executable)))
    assert "Traceback" in (tmp_path / "out.verify.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "setting"),
    [
        ("ms-swift", "swift.yaml", "lora_alpha"),
        ("verl", "train.sh", "optim.lr"),
        ("open-instruct", "train.sh", "--lora_alpha"),
    ],
)
def test_a_setting_that_would_not_start_is_found_out(
    tmp_path: Path, name: str, file: str, setting: str
) -> None:
    code = trainer_code(name)
    export_of_every_shape("qwen2_5", tmp_path, FEW)
    folder = handed_over(tmp_path, name, "conversations", lost=True)
    said = (folder / file).read_text()
    (folder / file).write_text(said.replace(setting, f"{setting}s"))
    with pytest.raises(TrainerFailedError, match=f"ValueError: .*{setting}s"):
        compare_handoff(folder, code)


def test_what_was_changed_is_told_before_work(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path, FEW)
    folder = handed_over(tmp_path, "verl", "conversations")
    (folder / "data" / "train.parquet").write_bytes(b"")
    with pytest.raises(HandoffError, match=r"train\.parquet is not as it was written"):
        compare_handoff(folder, TrainerCode(Path(sys.executable)))


def test_a_checkout_is_for_trainers_without_packages_and_of_the_commit_that_was_tried(
    tmp_path: Path,
) -> None:
    export_of_every_shape("qwen2_5", tmp_path, FEW)
    folder = handed_over(tmp_path, "open-instruct", "conversations")
    with pytest.raises(HandoffError, match="name a checkout"):
        compare_handoff(folder, TrainerCode(Path(sys.executable)))
    with pytest.raises(HandoffError, match="at no commit; predictions are for e6c3044"):
        compare_handoff(folder, TrainerCode(Path(sys.executable), checkout=tmp_path))
    with pytest.raises(HandoffError, match="leave --checkout out"):
        require_source(TRAINERS["verl"], tmp_path)


def test_another_version_of_the_trainer_is_refused_unless_asked(tmp_path: Path) -> None:
    export_of_every_shape("qwen2_5", tmp_path, FEW)
    folder = handed_over(tmp_path, "verl", "conversations")
    with pytest.raises(HandoffError, match=r"verl not installed; predictions are for 0\.9\.1"):
        compare_handoff(folder, TrainerCode(Path(sys.executable)))
    with pytest.raises(TrainerFailedError, match="No module named"):
        compare_handoff(folder, TrainerCode(Path(sys.executable), any_version=True))
