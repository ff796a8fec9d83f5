"""LLaMA-Factory: ShareGPT rows in one of its own templates, or a tokenised dataset.

It writes conversations by templates of its own, a text for each message, and tokenises these one by
one. The template is chosen whose frames are the chat template's; what stands between them is the
content, so that tools, calls and reasoning are written as the chat template writes them. A turn of
its own cannot be masked: where a row trains some turns only, each trained turn is a row, and
`mask_history` trains its last.

Left alone it drops a row whose roles do not alternate, cuts one above `cutoff_len` (2,048) turn by
turn, and reads no Arrow JSON columns. Read: 0.9.5, data/converter.py, template.py, processor/.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipeline.handoff.frames import CutText
from pipeline.handoff.native_templates import NativeTemplate
from pipeline.handoff.prediction import TrainedRow, UnheldRowError, join_pieces
from pipeline.handoff.promises import PromisedRow
from pipeline.handoff.token_rows import TokenRows
from pipeline.handoff.trainer import (
    DialectOf,
    HandoffFacts,
    HeldRow,
    Target,
    Trainer,
    require_whole_weights,
)
from pipeline.handoff.yaml_text import yaml_text

CONFIG_FILE = "train.yaml"
COMMAND = f"llamafactory-cli train {CONFIG_FILE}"
TOKENISED_FOLDER = "tokenised"


@dataclass(frozen=True, slots=True)
class ShareGptRows:
    """Rows of alternating texts."""

    target: Target
    schema: pa.Schema | None = None
    command: str = COMMAND

    def hold(self, row: PromisedRow) -> HeldRow:
        """A row as the contents between the frames of a template.

        Raises:
            UnheldRowError: if no template of LLaMA-Factory's writes it.
        """
        require_whole_weights(row)
        if (added := added_token(row.text, self.target)) is not None:
            raise UnheldRowError(f"its text has {added}, which LLaMA-Factory makes a new token")
        native, cut = self.target.cut_natively(row.text, "llamafactory", "LLaMA-Factory")
        conversations = [
            {"from": role, "value": value}
            for exchange in cut.exchanges
            for role, value in (("human", exchange.user), ("gpt", exchange.assistant))
        ]
        line = {"conversations": conversations, "system": cut.system or "", "row_id": row.row_id}
        return HeldRow(line, self._encode(cut, native))

    def _encode(self, cut: CutText, native: NativeTemplate) -> TrainedRow:
        """Each piece tokenised by itself, as its `Template._encode` does."""
        pieces = [(native.begin, False)]
        if cut.system and native.system is not None:  # an empty one is the default: none
            pieces.append((cut.system.join(native.system), False))
        for index, exchange in enumerate(cut.exchanges, start=1):
            trained = index == len(cut.exchanges) or not self.target.last_only
            pieces.append((exchange.user.join(native.user), False))
            pieces.append((exchange.assistant + native.close, trained))
        return join_pieces((self.target.ids(text), trained) for text, trained in pieces)

    def configure(self, facts: HandoffFacts) -> Mapping[str, str]:
        """`dataset_info.json` and the training's YAML."""
        native = self.target.native
        assert native is not None  # or no row would be held
        columns = {"messages": "conversations", "system": "system"}
        info = {
            f"sluice_{split}": {
                "file_name": facts.file(split),
                "formatting": "sharegpt",
                "columns": columns,
            }
            for split in facts.counts
        }
        return {
            "dataset_info.json": json.dumps(info, indent=2) + "\n",
            CONFIG_FILE: yaml_text(
                {
                    **llamafactory_training(facts),
                    "dataset_dir": ".",
                    "dataset": "sluice_train",
                    **(
                        {"eval_dataset": "sluice_validation"}
                        if "validation" in facts.counts
                        else {}
                    ),
                    "template": native.names["llamafactory"],
                    "mask_history": facts.last_only,
                    # One above the longest row: rows of just this length are cut by rounding.
                    "cutoff_len": facts.max_length + 1,
                    "packing": False,
                    "overwrite_cache": True,
                }
            ),
        }


def added_token(text: str, target: Target) -> str | None:
    """A token in a text that LLaMA-Factory would add to the tokenizer, beyond the model's own."""
    there = [token for token in target.native.added if token in text] if target.native else []
    # The vocabulary is a dictionary made anew at each call: asked for only where one is there.
    return next((token for token in there if token not in target.tokenizer.get_vocab()), None)


def configure_llamafactory_tokens(facts: HandoffFacts) -> Mapping[str, str]:
    """The training's YAML, and a script that makes a dataset folder of the Parquet files."""
    splits = {split: facts.file(split) for split in facts.counts}
    script = (
        "# Makes of the Parquet files what LLaMA-Factory loads as `tokenized_path`.\n"
        "from datasets import load_dataset\n\n"
        f"rows = load_dataset('parquet', data_files={splits!r})\n"
        f"rows.remove_columns('row_id').save_to_disk({TOKENISED_FOLDER!r})\n"
    )
    # It asks for the name of a dataset, and reads none where there is a tokenised one.
    named = {"dataset": TOKENISED_FOLDER, "tokenized_path": TOKENISED_FOLDER, "template": "empty"}
    if "validation" in facts.counts:
        named["eval_dataset"] = TOKENISED_FOLDER
    settings = {**llamafactory_training(facts), **named}
    return {"tokenise.py": script, CONFIG_FILE: yaml_text(settings)}


def llamafactory_training(facts: HandoffFacts) -> dict[str, object]:
    """What every configuration has: a LoRA training that runs, to be changed at will."""
    evaluated = {"eval_strategy": "epoch", "per_device_eval_batch_size": 4}
    return {
        "model_name_or_path": facts.model,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_rank": 16,
        "output_dir": "output",
        "per_device_train_batch_size": 4,
        "learning_rate": 2.0e-4,
        "num_train_epochs": 1.0,
        "bf16": True,
        "seed": facts.manifest.seed,
        "report_to": "none",
        **(evaluated if "validation" in facts.counts else {}),
    }


LLAMAFACTORY = Trainer(
    name="llamafactory",
    distribution="llamafactory",
    version="0.9.5",
    packages=(
        "llamafactory==0.9.5",
        "transformers==5.6.0",
        "tokenizers==0.22.2",
        "huggingface_hub==1.17.0",
        "datasets==4.0.0",
        "peft==0.18.1",
        "trl==0.24.0",
        "accelerate==1.11.0",
        "omegaconf==2.4.0",
    ),
    forms={
        "conversations": DialectOf("all_or_last", ShareGptRows),
        "tokens": DialectOf(
            "each",
            lambda _: TokenRows(f"python tokenise.py && {COMMAND}", configure_llamafactory_tokens),
        ),
    },
)
