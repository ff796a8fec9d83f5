import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner, Result

from flows.cli.handoff import TrainerName
from flows.cli.main import app, exit_code
from pipeline.export.rows import RejectedAnswer
from pipeline.handoff.catalogue import TRAINERS
from tests.exports_of_every_shape import (
    SHAPES,
    export_of_every_shape,
    export_of_rows,
)
from tests.template_families import FAMILIES, turn_rows

FEW = {name: SHAPES[name] for name in ("plain", "dialogue")}


def give(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_the_verb_knows_every_trainer() -> None:
    assert get_args(TrainerName) == tuple(TRAINERS)


def test_an_export_is_handed_over_beside_itself(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path, FEW)
    done = give("handoff", str(export), "--to", "axolotl")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("train: 2 rows, ")
    assert "every row is handed over" in done.stderr and "rejected" not in done.stderr
    config = (tmp_path / "export-axolotl" / "axolotl.yaml").read_text()
    assert f"base_model: {tmp_path / 'model'}" in config
    assert config.count("roles_to_train: []") == 2 and "&" not in config


def test_rejected_answers_are_said_not_to_be_handed_over(tmp_path: Path) -> None:
    tokenizer = FAMILIES["qwen2_5"].tokenizer()
    tokenizer.save_pretrained(str(tmp_path / "model"))
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    turns = [{"role": "user", "content": "2 + 4?"}, {"role": "assistant", "content": "6"}]
    rows = [turn_rows(tokenizer, turns, (), rank)[0] for rank in (1, 2)]
    worse = RejectedAnswer("w" * 32, {"role": "assistant", "content": "7"}, 2, "rejected_answer")
    rows[0] = replace(rows[0], rejected=worse)
    export = export_of_rows(rows, tokenizer, tmp_path, max_length=4000)
    done = give("handoff", str(export), "--to", "llamafactory")
    assert done.exit_code == 0, done.output
    assert "1 rejected answers are not handed over" in done.stderr
    assert "every row is handed over" in done.stderr
    readme = (tmp_path / "export-llamafactory" / "README.md").read_text()
    assert "1 rejected answers are not handed over" in readme


def test_what_would_be_lost_ends_with_1_and_says_what_helps(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen3", tmp_path, FEW)
    done = give("handoff", str(export), "--to", "axolotl", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["complete"] is False
    assert "5 of 5 rows would be lost" in done.stderr and "--form tokens" in done.stderr
    assert give("handoff", str(export), "--to", "axolotl", "--form", "tokens").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["handoff", "EXPORT", "--to", "verl", "--form", "tokens"], "verl reads no tokens"),
        (["handoff", "NONE", "--to", "trl"], "is not a finished export"),
        (["verify-handoff", "NONE"], "is not a finished handoff"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path, FEW)
    places = {"EXPORT": str(export), "NONE": str(tmp_path)}
    done = give(*(places.get(word, word) for word in words))
    assert isinstance(done.exception, Exception) and exit_code(done.exception) == 2
    assert message in str(done.exception)


def test_open_instruct_asks_for_a_checkout(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path, FEW)
    assert give("handoff", str(export), "--to", "open-instruct").exit_code == 0
    done = give("verify-handoff", str(tmp_path / "export-open-instruct"))
    assert "--checkout" in str(done.exception)


@pytest.mark.slow
def test_the_trainer_here_reads_it(tmp_path: Path) -> None:
    export = export_of_every_shape("qwen2_5", tmp_path, FEW)
    assert give("handoff", str(export), "--to", "trl").exit_code == 0
    done = give("verify-handoff", str(tmp_path / "export-trl"), "--python", sys.executable)
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "train: 2 rows, each with the ids and labels predicted\n"
        "validation: 1 rows, each with the ids and labels predicted\n"
    )
