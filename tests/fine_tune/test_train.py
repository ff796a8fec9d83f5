import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from datasets import Dataset
from safetensors.numpy import load_file, save_file

from fine_tune import checked_rows, one_training, train
from fine_tune.cost import COST_FILE, read_cost
from fine_tune.evaluate import loss_of_rows
from fine_tune.methods.hft import draw_frozen
from fine_tune.report import HeldOutLoss, OtherTrainingError, TrainReport, read_train_report
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from fine_tune.verify_tokens import TokenMismatchError
from fine_tune.weighted_trainer import WeightedTrainer
from scorers.measures.models.loading import load_tokenizer, resolve_model
from scorers.measures.protocols import Message
from tests.fine_tune.test_method_rows import LIST, TALK
from tests.fine_tune.tiny import (
    WEATHER,
    count_rows,
    export_for,
    export_with_tokens,
    heldout_loss,
    make_rows,
)
from tests.template_families import turn_rows

pytestmark = pytest.mark.slow

SETTINGS = TrainSettings(
    epochs=2, batch_rows=4, lora_rank=4, lora_dropout=0.1, learning_rate=1e-2, save_every_steps=2
)
STEPS = 6  # 12 rows in batches of 4, twice

KILL_AT_STEP_FIVE = """
import os, signal, sys
from pathlib import Path
import torch
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter

torch.set_num_threads(1)
export, model, output = map(Path, sys.argv[1:4])

def on_step(step, steps, loss):
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

train_adapter(export, model, output, TrainSettings.model_validate_json(sys.argv[4]), on_step)
"""


@pytest.fixture(scope="module")
def finished(
    tiny_model: Path, tiny_export: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainReport, list[tuple[int, int, float]]]:
    """A training that nothing disturbed, its report, and what it said at each step."""
    output = tmp_path_factory.mktemp("training") / "undisturbed"
    said: list[tuple[int, int, float]] = []
    report = train_adapter(
        tiny_export, tiny_model, output, SETTINGS, lambda *args: said.append(args)
    )
    return output, report, said


def files_of(output: Path) -> dict[str, bytes]:
    """Everything but the cost, which no two trainings share."""
    paths = (path for path in output.rglob("*") if path.is_file() and path.name != COST_FILE)
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in paths}


def test_it_writes_these_files_and_no_others(finished: tuple[Path, Any, Any]) -> None:
    assert sorted(files_of(finished[0])) == [
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/chat_template.jinja",
        "adapter/tokenizer.json",
        "adapter/tokenizer_config.json",
        "heldout_before.json",
        "report.json",
        "training.json",
    ]
    assert (finished[0] / COST_FILE).is_file()


def test_every_linear_layer_gets_an_adapter_of_the_rank_asked_for(
    finished: tuple[Path, Any, Any],
) -> None:
    tensors = load_file(finished[0] / "adapter" / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * 2  # layers, linear layers in each, matrices A and B
    assert {min(tensor.shape) for tensor in tensors.values()} == {4}
    assert all(tensor.any() for name, tensor in tensors.items() if "lora_B" in name)


def test_the_adapter_is_written_the_same_in_every_process(finished: tuple[Path, Any, Any]) -> None:
    # A set, which peft writes in the order of this process's hash seed.
    config = orjson.loads((finished[0] / "adapter" / "adapter_config.json").read_bytes())
    assert config["target_modules"] == sorted(config["target_modules"])


def test_what_is_done_before_does_not_show_in_the_training(
    finished: tuple[Path, Any, Any],
    tiny_model: Path,
    tiny_export: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def roll_dice(trainer: WeightedTrainer, rows: Dataset) -> HeldOutLoss:
        torch.rand(3)
        return loss_of_rows(trainer, rows)

    monkeypatch.setattr(one_training, "loss_of_rows", roll_dice)
    train_adapter(tiny_export, tiny_model, tmp_path / "t", SETTINGS)
    assert files_of(tmp_path / "t") == files_of(finished[0])


def test_the_report_says_what_was_trained(
    finished: tuple[Path, TrainReport, list[tuple[int, int, float]]], tiny_model: Path
) -> None:
    _, report, said = finished
    rows = count_rows(make_rows(12), tiny_model)
    assert report.train.rows == 12
    assert report.train.loss_tokens == sum(row.loss_tokens for row in rows)
    assert report.steps == STEPS == len(report.losses)
    assert said == [(i + 1, STEPS, loss) for i, loss in enumerate(report.losses)]
    assert report.precision == "float32"


def test_the_held_out_loss_falls_and_is_that_of_the_stored_adapter(
    finished: tuple[Path, TrainReport, Any], tiny_model: Path, tiny_export: Path
) -> None:
    output, report, _ = finished
    assert report.heldout_before is not None and report.heldout_after is not None
    assert report.heldout_after.nats_per_token < report.heldout_before.nats_per_token - 0.05
    for adapter, stated in (
        (None, report.heldout_before),
        (output / "adapter", report.heldout_after),
    ):
        again = heldout_loss(tiny_model, adapter, tiny_export)
        assert again.nats_per_token == pytest.approx(stated.nats_per_token, abs=1e-6)
        assert (again.rows, again.tokens) == (stated.rows, stated.tokens) == (5, again.tokens)


def test_a_finished_training_is_not_done_again(
    finished: tuple[Path, TrainReport, Any],
    tiny_model: Path,
    tiny_export: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, report, _ = finished
    before = files_of(output)
    monkeypatch.setattr(one_training, "_run", lambda *_: pytest.fail("it trained again"))
    monkeypatch.setattr(checked_rows, "load_trained", lambda *_: pytest.fail("it loaded rows"))
    assert train_adapter(tiny_export, tiny_model, output, SETTINGS) == report
    assert files_of(output) == before


def test_another_training_is_refused_and_says_what_differs(
    finished: tuple[Path, TrainReport, Any], tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    output, _, _ = finished
    other = SETTINGS.model_copy(update={"seed": 7})
    with pytest.raises(OtherTrainingError, match=r"differs in settings\.seed \(0, not 7\)"):
        train_adapter(tiny_export, tiny_model, output, other)
    rows = count_rows(make_rows(2), tiny_model)
    other_export = export_for(tiny_model, tmp_path / "e", rows)
    with pytest.raises(OtherTrainingError, match="differs in export_id;"):
        train_adapter(other_export, tiny_model, output, SETTINGS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(OtherTrainingError, match="not empty"):
        train_adapter(tiny_export, tiny_model, tmp_path / "mine", SETTINGS)


@pytest.fixture(scope="module")
def killed(tiny_model: Path, tiny_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What SIGKILL leaves in the fifth step of six: checkpoints 2 and 4."""
    output = tmp_path_factory.mktemp("training") / "killed"
    arguments = [str(tiny_export), str(tiny_model), str(output), SETTINGS.model_dump_json()]
    done = subprocess.run(
        [sys.executable, "-c", KILL_AT_STEP_FIVE, *arguments],
        cwd=Path(train.__file__).parent.parent,
        env={"PYTHONPATH": ".", "PATH": "/usr/bin:/bin", "HOME": str(output.parent)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()
    assert not (output / "report.json").exists()
    return output


def resume(killed: Path, tmp_path: Path, model: Path, export: Path) -> tuple[Path, list[int]]:
    """Call again in a copy of what was left; the folder, and the steps done in it."""
    output = tmp_path / "resumed"
    if not output.exists():
        shutil.copytree(killed, output)
    steps: list[int] = []
    train_adapter(export, model, output, SETTINGS, lambda step, *_: steps.append(step))
    return output, steps


def test_after_kill_9_the_same_call_ends_with_the_same_bytes(
    killed: Path,
    finished: tuple[Path, Any, Any],
    tiny_model: Path,
    tiny_export: Path,
    tmp_path: Path,
) -> None:
    output, steps = resume(killed, tmp_path, tiny_model, tiny_export)
    assert steps == [5, 6]
    assert files_of(output) == files_of(finished[0])


def test_the_cost_adds_up_over_executions(
    killed: Path,
    finished: tuple[Path, Any, Any],
    tiny_model: Path,
    tiny_export: Path,
    tmp_path: Path,
) -> None:
    whole, before = read_cost(finished[0]), read_cost(killed)
    assert whole is not None and before is not None
    per_pass = sum(
        row.prompt_tokens + row.loss_tokens for row in count_rows(make_rows(12), tiny_model)
    )
    assert (whole.executions, whole.rows, whole.tokens) == (1, 24, 2 * per_pass)
    assert whole.device == "cpu" and whole.peak_memory_bytes > 2**20 and whole.seconds > 0
    output, _ = resume(killed, tmp_path, tiny_model, tiny_export)
    after = read_cost(output)
    assert after is not None and after.executions == 2
    assert after.seconds > before.seconds
    assert after.rows == before.rows + 8  # steps 5 and 6, four rows each
    train_adapter(tiny_export, tiny_model, output, SETTINGS)
    assert read_cost(output) == after  # nothing was done, so nothing was spent


@pytest.mark.parametrize(
    "broken", ["trainer_state.json", "adapter_model.safetensors", "optimizer.pt", "rng_state.pth"]
)
def test_a_half_written_checkpoint_is_passed_over(
    killed: Path,
    finished: tuple[Path, Any, Any],
    tiny_model: Path,
    tiny_export: Path,
    tmp_path: Path,
    broken: str,
) -> None:
    shutil.copytree(killed, tmp_path / "resumed")
    path = tmp_path / "resumed" / "checkpoints" / "checkpoint-4" / broken
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    output, steps = resume(killed, tmp_path, tiny_model, tiny_export)
    assert steps == [3, 4, 5, 6]
    assert files_of(output) == files_of(finished[0])


def test_a_kill_between_the_last_step_and_the_report_costs_no_step(
    finished: tuple[Path, Any, Any],
    tiny_model: Path,
    tiny_export: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(one_training, "_write_weights", raise_interrupt)
        train_adapter(tiny_export, tiny_model, tmp_path / "resumed", SETTINGS)
    output, steps = resume(tmp_path, tmp_path, tiny_model, tiny_export)
    assert steps == []
    assert files_of(output) == files_of(finished[0])


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_without_a_validation_split_there_is_no_held_out_loss(
    tiny_model: Path, tmp_path: Path
) -> None:
    rows = count_rows(make_rows(4), tiny_model)
    export = export_for(tiny_model, tmp_path / "e", rows)
    report = train_adapter(export, tiny_model, tmp_path / "t", TrainSettings(max_steps=1))
    assert report.steps == 1
    assert report.heldout_before is None and report.heldout_after is None
    assert report.heldout_note == "the export has no validation split"
    assert orjson.loads((tmp_path / "t" / "report.json").read_bytes())["heldout_after"] is None


def test_nothing_is_trained_when_the_trainer_would_cut_a_row(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    settings = TrainSettings(max_length=120, max_steps=1)
    with pytest.raises(TokenMismatchError, match="train 0000") as caught:
        train_adapter(
            tiny_export, tiny_model, tmp_path, settings, lambda *_: pytest.fail("trained")
        )
    assert {item.split for item in caught.value.differences} == {"train", "validation"}


def test_rows_longer_than_the_model_was_built_for_are_named(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    config = orjson.loads((tmp_path / "model" / "config.json").read_bytes())
    config["max_position_embeddings"] = 120
    (tmp_path / "model" / "config.json").write_bytes(orjson.dumps(config))
    with pytest.raises(ValueError, match="longer than the 120 tokens the model was built for, 000"):
        train_adapter(tiny_export, tmp_path / "model", tmp_path / "t", SETTINGS)


def test_a_model_that_lacks_weights_is_refused(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks weights: model\.norm\.weight"):
        train_adapter(tiny_export, tmp_path / "model", tmp_path / "t", SETTINGS)


def test_a_damaged_export_is_not_trained(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_export, tmp_path / "e")
    with (tmp_path / "e" / "data" / "train-00000-of-00001.parquet").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ValueError, match="is not what it says: data/train"):
        train_adapter(tmp_path / "e", tiny_model, tmp_path / "t", SETTINGS)


def test_a_loss_that_is_no_number_ends_the_training(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    settings = TrainSettings(learning_rate=1e30, max_steps=4, schedule="constant")
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        train_adapter(tiny_export, tiny_model, tmp_path, settings)


def test_training_says_nothing_on_stdout(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export = export_for(tiny_model, tmp_path / "e", count_rows(make_rows(4), tiny_model))
    train_adapter(export, tiny_model, tmp_path / "t", TrainSettings(max_steps=1))
    said = capfd.readouterr()
    assert said.out == ""
    assert "it/s" not in said.err and "examples/s" not in said.err


def test_a_dialogue_read_once_is_trained_as_its_turns_are_one_by_one(
    tiny_model: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(resolve_model(str(tiny_model)))
    half: list[Message] = [
        {"role": "user", "content": "Is it raining?"},
        {"role": "assistant", "content": "It rains.", "weight": 0.5},
        {"role": "user", "content": "And tomorrow?"},
        {"role": "assistant", "content": "It will rain on and on."},
    ]
    rows = [
        *turn_rows(tokenizer, half),
        *turn_rows(tokenizer, half[:2], rank=2),
        *turn_rows(tokenizer, half[2:], split="validation"),
    ]
    whole = SETTINGS.model_copy(update={"epochs": 2, "batch_rows": 8, "lora_dropout": 0})
    reports = {}
    for pretokenized in (False, True):
        folder = tmp_path / str(pretokenized)
        export = export_with_tokens(folder, tokenizer, rows, pretokenized=pretokenized)
        reports[pretokenized] = train_adapter(export, tiny_model, folder / "out", whole)
    apart, once = reports[False], reports[True]
    assert (apart.train.rows, once.train.rows) == (3, 2)
    assert apart.train.loss_tokens == once.train.loss_tokens
    assert apart.train.prompt_tokens > once.train.prompt_tokens
    assert once.losses == pytest.approx(apart.losses, rel=1e-5)
    assert once.heldout_after is not None and apart.heldout_after is not None
    assert once.heldout_after.nats_per_token == pytest.approx(
        apart.heldout_after.nats_per_token, rel=1e-5
    )
    adapters = [
        load_file(tmp_path / str(each) / "out" / "adapter" / "adapter_model.safetensors")
        for each in (False, True)
    ]
    for name, weights in adapters[0].items():
        assert adapters[1][name] == pytest.approx(weights, abs=1e-5)


FULL = SETTINGS.model_copy(update={"tune": "full", "learning_rate": 1e-3})
HALF = TrainSettings.model_validate(
    {**FULL.model_dump(), "methods": [{"method": "hft"}, {"method": "lines", "first": 0.5}]}
)


@pytest.fixture(scope="module")
def half(tiny_model: Path, tiny_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of half of all weights, with its changes scaled."""
    output = tmp_path_factory.mktemp("training") / "half"
    train_adapter(tiny_export, tiny_model, output, HALF)
    return output


def test_all_weights_are_trained_and_what_is_frozen_is_not_moved(
    half: Path, tiny_model: Path
) -> None:
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(half / "model" / "model.safetensors")
    frozen = draw_frozen(sorted(before), HALF.seed)
    assert before.keys() == after.keys()
    assert {name for name in before if (before[name] == after[name]).all()} == frozen
    assert not (half / "adapter").exists()
    report = read_train_report(half)
    assert report is not None and report.heldout_before is not None
    notes = [note.partition(":")[0] for note in report.method_notes]
    assert notes == ["hft", "lines"]
    assert report.heldout_after is not None
    assert report.heldout_after.nats_per_token < report.heldout_before.nats_per_token


def test_a_killed_training_of_all_weights_ends_with_the_same_bytes(
    half: Path, tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    def stop(step: int, *_: object) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_adapter(tiny_export, tiny_model, tmp_path / "t", HALF, stop)
    steps: list[int] = []
    train_adapter(tiny_export, tiny_model, tmp_path / "t", HALF, lambda n, *_: steps.append(n))
    assert steps == [5, 6]
    assert files_of(tmp_path / "t") == files_of(half)


def test_packed_rows_train_what_padded_ones_do(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    reports = []
    for packing in (False, True):
        settings = SETTINGS.model_copy(update={"packing": packing, "lora_dropout": 0.0})
        reports.append(train_adapter(tiny_export, tiny_model, tmp_path / str(packing), settings))
    apart, joined = reports
    assert joined.losses == pytest.approx(apart.losses, rel=1e-5)
    assert joined.heldout_after is not None and apart.heldout_after is not None
    assert joined.heldout_after.nats_per_token == pytest.approx(
        apart.heldout_after.nats_per_token, rel=1e-5
    )
    costs = [read_cost(tmp_path / str(packing)) for packing in (False, True)]
    assert costs[0] is not None and costs[1] is not None
    assert (costs[0].rows, costs[0].tokens) == (costs[1].rows, costs[1].tokens)


@pytest.mark.parametrize(
    "method",
    [
        {"method": "masked_thought", "share": 0.5},
        {"method": "lora_sb", "rows": 5},
        {"method": "roste"},
    ],
    ids=lambda each: each["method"],
)
def test_a_method_that_draws_is_resumed_bit_for_bit(
    method: dict[str, Any], tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    asked = {"methods": [method], "tune": "full" if method["method"] == "roste" else "lora"}
    settings = TrainSettings.model_validate({**SETTINGS.model_dump(), **asked})

    def stop(step: int, *_: object) -> None:
        if step == 5:
            raise KeyboardInterrupt

    train_adapter(tiny_export, tiny_model, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train_adapter(tiny_export, tiny_model, tmp_path / "cut", settings, stop)
    train_adapter(tiny_export, tiny_model, tmp_path / "cut", settings)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_a_loss_reads_the_scores_of_the_export_or_says_that_there_are_none(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    poft = {"method": "poft", "perplexities": ["perplexity"]}
    settings = TrainSettings.model_validate({"max_steps": 2, "methods": [poft]})
    with pytest.raises(ValueError, match=r"no scores 'perplexity'.*export\.scores"):
        train_adapter(tiny_export, tiny_model, tmp_path / "none", settings)
    rows = count_rows(make_rows(6), tiny_model)
    held_out = count_rows(make_rows(2, "validation"), tiny_model)
    scored = [replace(row, scores={"perplexity": 200.0 + n}) for n, row in enumerate(rows)]
    scored += [replace(row, scores={"perplexity": 200.0}) for row in held_out]
    export = export_for(tiny_model, tmp_path / "e", scored, scores=("perplexity",))
    report = train_adapter(export, tiny_model, tmp_path / "t", settings)
    # The held-out loss is taken before: what a step is divided by must not hang on that.
    assert 0.3 < report.losses[0] < 2, "a logistic loss near its middle, per row"
    lacking = [replace(row, scores={"perplexity": None}) for row in rows]
    export = export_for(tiny_model, tmp_path / "l", lacking, scores=("perplexity",))
    with pytest.raises(ValueError, match="6 rows have no score 'perplexity'"):
        train_adapter(export, tiny_model, tmp_path / "u", settings)


def test_tool_calls_that_went_wrong_are_left_out_in_either_form_of_an_export(
    tiny_model: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(resolve_model(str(tiny_model)))
    rows = [
        *turn_rows(tokenizer, TALK, [WEATHER, LIST]),
        *turn_rows(tokenizer, TALK[4:], [WEATHER, LIST], rank=2),
    ]
    settings = TrainSettings.model_validate(
        {"max_steps": 2, "batch_rows": 8, "methods": [{"method": "tl_training"}]}
    )
    reports = []
    for pretokenized in (False, True):
        folder = tmp_path / str(pretokenized)
        export = export_with_tokens(folder, tokenizer, rows, pretokenized=pretokenized)
        reports.append(train_adapter(export, tiny_model, folder / "out", settings))
    assert reports[0].losses == pytest.approx(reports[1].losses, rel=1e-5)
    for report in reports:
        (note,) = report.method_notes
        assert "0 tokens are no longer trained" not in note
    assert reports[0].method_notes[0].endswith("1 rows have nothing left")
