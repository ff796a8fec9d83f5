"""LLaMA-Factory: ShareGPT rows in one of its own templates, or a tokenised dataset.

It writes conversations by templates of its own, a text for each message, and tokenises these one by
one. The template is chosen whose frames are the chat template's. Tools, calls and results stand in
columns and roles of their own where it writes these as the chat template does; otherwise they are
part of the contents, as reasoning always is. A turn of its own cannot be masked: where a row trains
some turns only, each trained turn is a row, and `mask_history` trains its last.

Left alone it drops a row whose roles do not alternate, cuts one above `cutoff_len` (2,048) turn by
turn, and reads no Arrow JSON columns. Read: 0.9.5, data/converter.py, template.py, processor/.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipeline.handoff.native_columns import NativeText, NativeTurn
from pipeline.handoff.native_templates import NativeTemplate
from pipeline.handoff.prediction import TrainedRow, UnheldRowError, join_pieces
from pipeline.handoff.promises import PromisedRow
from pipeline.handoff.token_rows import TokenRows
from pipeline.handoff.tool_texts import named_call
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
TURN_NUMBER = "{{idx}}"
"""What it puts the number of an exchange in the place of, also within a user's message."""


@dataclass(frozen=True, slots=True)
class ShareGptRows:
    """Rows of texts that take turns."""

    target: Target
    schema: pa.Schema | None = None
    command: str = COMMAND

    def hold(self, row: PromisedRow) -> HeldRow:
        """A row as columns, and as the contents between the frames of a template.

        Raises:
            UnheldRowError: if no template of LLaMA-Factory's writes it, or it has a text that this
                changes.
        """
        require_whole_weights(row)
        if (added := added_token(row.text, self.target)) is not None:
            raise UnheldRowError(f"its text has {added}, which LLaMA-Factory makes a new token")
        if TURN_NUMBER in row.text:
            raise UnheldRowError(f"its text has {TURN_NUMBER}, which LLaMA-Factory fills in")
        # It looks for calls within these tags, in calls too.
        tagged = any("tool_call>" in json.dumps(message) for message in row.messages)
        native, cut = self.target.cut_natively(
            row, "llamafactory", "LLaMA-Factory", columns=not tagged
        )
        line = {
            "conversations": [said for turn in cut.turns for said in share_gpt_turn(turn)],
            "system": cut.system_said or "",
            # A text in every row; an empty one is none, where an empty list would be some.
            "tools": json.dumps(list(cut.tools), ensure_ascii=False) if cut.tools else "",
            "row_id": row.row_id,
        }
        return HeldRow(line, self._encode(cut, native), cut.columns)

    def _encode(self, cut: NativeText, native: NativeTemplate) -> TrainedRow:
        """Each piece tokenised by itself, as its `Template._encode` does."""
        pieces = [(native.begin, False)]
        if cut.system and native.system is not None:  # an empty one is the default: none
            pieces.append((cut.system.join(native.system), False))
        for index, turn in enumerate(cut.turns, start=1):
            trained = index == len(cut.turns) or not self.target.last_only
            pieces.append((turn.opening, False))
            pieces.append((turn.answer + native.close, trained))
        return join_pieces((self.target.ids(text), trained) for text, trained in pieces)

    def configure(self, facts: HandoffFacts) -> Mapping[str, str]:
        """`dataset_info.json` and the training's YAML."""
        native = self.target.native
        assert native is not None  # or no row would be held
        columns = {"messages": "conversations", "system": "system", "tools": "tools"}
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


def share_gpt_turn(turn: NativeTurn) -> Iterator[dict[str, str]]:
    """What is asked and its answer, as two messages."""
    if turn.results:  # several are one message, joined as its own reading of others' rows does
        yield {"from": "observation", "value": turn.asked}
    else:
        yield {"from": "human", "value": turn.asked}
    if not turn.calls:
        yield {"from": "gpt", "value": turn.said}
        return
    calls = json.dumps([named_call(call) for call in turn.calls], ensure_ascii=False)
    # Behind a thought or a text it finds calls between tags.
    value = f"{turn.said}<tool_call>{calls}</tool_call>" if turn.said else calls
    yield {"from": "function_call", "value": value}


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
