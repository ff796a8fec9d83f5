"""TRL's own preparation of a handoff's rows: those of the trainer that its script makes."""

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rows_out import IdsAndLabels, split_files, write_held_rows

if TYPE_CHECKING:
    from transformers import LlamaConfig


def read_trl() -> Mapping[str, Iterable[IdsAndLabels]]:
    """The `train_dataset` and `eval_dataset` of an SFTTrainer."""
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    files = split_files()
    builder = "parquet" if files["train"].endswith(".parquet") else "json"
    rows = {
        split: load_dataset(
            builder, data_files={split: path}, split=split, cache_dir="cache"
        ).remove_columns("row_id")
        for split, path in files.items()
    }
    config = SFTConfig(
        output_dir="out", max_length=max_length(), packing=False, use_cpu=True, report_to="none"
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_config(config_of_stand_in()),
        args=config,
        train_dataset=rows["train"],
        eval_dataset=rows.get("validation"),
        processing_class=AutoTokenizer.from_pretrained("tokenizer", trust_remote_code=False),
    )
    datasets: dict[str, Any] = {
        "train": trainer.train_dataset,
        "validation": trainer.eval_dataset,
    }
    return {
        split: ((row["input_ids"], row["labels"]) for row in held)
        for split, held in datasets.items()
        if held is not None
    }


def config_of_stand_in() -> "LlamaConfig":
    """The configuration of what stands in for the model."""
    from transformers import LlamaConfig

    return LlamaConfig(**json.loads(Path("model/config.json").read_text(encoding="utf-8")))


def max_length() -> int:
    """The `max_length` that train.py gives."""
    for node in ast.walk(ast.parse(Path("train.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "max_length":
            return int(ast.literal_eval(node.value))
    raise ValueError("train.py names no max_length")


if __name__ == "__main__":
    write_held_rows(read_trl)
