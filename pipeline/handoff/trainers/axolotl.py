"""axolotl: messages as JSON text with a flag for each turn, or token ids.

It renders a conversation in the tokenizer's template, and finds a turn by rendering it again with
other contents: trained is what differs, and the end-of-turn token within three tokens behind. A
thought that the template writes for a turn that has none, as Qwen3's does, is not among it; such
rows are not held as conversations. Columns of messages would be filled with nulls, texts are not.

Left alone it trains every assistant turn, and drops rows above `sequence_len`. Read: 0.19.0,
prompt_strategies/chat_template.py.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.handoff.prediction import TrainedRow, UnheldRowError
from pipeline.handoff.promises import PromisedRow
from pipeline.handoff.token_rows import TokenRows
from pipeline.handoff.trainer import (
    TOKENIZER_FOLDER,
    DialectOf,
    HandoffFacts,
    HeldRow,
    Target,
    Trainer,
    label_spans,
    require_whole_weights,
)
from pipeline.handoff.yaml_text import yaml_text
from scorers.measures.reading.chat_format import RenderingError, render_text
from storage.conversations import Message
from storage.exports_manifest import IGNORED

CONFIG_FILE = "axolotl.yaml"
COMMAND = f"axolotl train {CONFIG_FILE}"
OTHER_CONTENTS = ("[[dummy_message]]", "zzdummymessagezz")
"""What it puts in place of a turn, one after the other; no character begins or ends both."""
STOP_WITHIN = 3  # tokens behind a turn in which its end-of-turn token is looked for


@dataclass(frozen=True, slots=True)
class FlaggedRows:
    """Rows of messages that say which are trained."""

    target: Target
    schema: pa.Schema | None = None
    command: str = COMMAND

    def hold(self, row: PromisedRow) -> HeldRow:
        """A row as JSON text of its messages.

        Raises:
            UnheldRowError: if its tokens do not all count alike, or its text cannot be searched.
        """
        require_whole_weights(row)
        trained = {turn.message for turn in row.turns}
        messages = [
            write_message(message, index in trained) for index, message in enumerate(row.messages)
        ]
        line = {
            "messages": json.dumps(messages, ensure_ascii=False),
            # A text in every row: it takes nulls out of columns, and rows with them.
            "tools": json.dumps(list(row.tools), ensure_ascii=False),
            "row_id": row.row_id,
        }
        return HeldRow(line, self._encode(row))

    def _encode(self, row: PromisedRow) -> TrainedRow:
        ids, places = self.target.places(row.text)
        starts, ends = zip(*places, strict=True)
        stop = self.target.stop_token(row)
        stops = {self.target.tokenizer.convert_tokens_to_ids(stop)} if stop else set()
        spans = []
        for turn in row.turns:
            first, last = changed_span(row, turn.message, self.target)
            start, end = bisect_right(ends, first), bisect_left(starts, last)
            if first >= last or start >= end:
                raise UnheldRowError("one of its trained turns has no text of its own", "cut")
            spans.append((start, end))
            found = next((at for at in range(end, len(ids)) if ids[at] in stops), None)
            if found is not None and found - end <= STOP_WITHIN:
                spans.append((found, found + 1))
        return TrainedRow(ids, label_spans(ids, spans, IGNORED))

    def configure(self, facts: HandoffFacts) -> Mapping[str, str]:
        """The training's YAML."""
        shared = {
            "type": "chat_template",
            "chat_template": "tokenizer_default",
            "field_messages": "messages",
            "field_tools": "tools",
            "message_field_training": "training",
            "roles_to_train": [],  # only what the rows flag
            "train_on_eos": "turn",
        }
        datasets: dict[str, Sequence[Mapping[str, Any]]] = {
            split: [{"path": facts.file(split), "ds_type": "json", "split": "train", **shared}]
            for split in facts.counts
        }
        stops = {"eot_tokens": list(facts.stop_tokens)} if facts.stop_tokens else {}
        return {CONFIG_FILE: yaml_text({**stops, **axolotl_training(facts, datasets)})}


def configure_axolotl_tokens(facts: HandoffFacts) -> Mapping[str, str]:
    """The training's YAML; a dataset without a type is one of ids."""
    datasets: dict[str, Sequence[Mapping[str, Any]]] = {
        split: [{"path": facts.file(split), "ds_type": "parquet", "split": "train", "type": None}]
        for split in facts.counts
    }
    return {CONFIG_FILE: yaml_text(axolotl_training(facts, datasets))}


def write_message(message: Message, trained: bool) -> dict[str, Any]:
    """A message as axolotl reads it: arguments of calls as text, and whether it is trained."""
    written = {key: value for key, value in message.items() if key != "weight"}
    if "tool_calls" in written:
        written["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _arguments(call)}}
            for call in written["tool_calls"]
        ]
    if message["role"] == "assistant":
        written["training"] = trained
    return written


def _arguments(call: Mapping[str, Any]) -> str:
    return json.dumps(call["function"]["arguments"], ensure_ascii=False)


def changed_span(row: PromisedRow, message: int, target: Target) -> tuple[int, int]:
    """The characters of a row's text that change with a message: first, and first behind.

    Raises:
        UnheldRowError: if the template refuses the row with other contents.
    """
    firsts, lasts = [], []
    for content in OTHER_CONTENTS:
        other: list[Message] = list(row.messages)
        other[message] = {"role": row.messages[message]["role"], "content": content}
        try:
            text = render_text(target.tokenizer, other, row.tools)
        except RenderingError as error:
            raise UnheldRowError(f"axolotl cannot look for a turn: {error}") from error
        first = shared_characters(row.text, text)
        # What is behind is looked for in what the beginnings leave, or both could be the same.
        rest = shared_characters(row.text[first:][::-1], text[first:][::-1])
        firsts.append(first)
        lasts.append(len(row.text) - rest)
    return min(firsts), max(lasts)


def shared_characters(one: str, other: str) -> int:
    """How many leading characters two texts have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def axolotl_training(
    facts: HandoffFacts, datasets: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, object]:
    """What every configuration has: a LoRA training that runs, to be changed at will."""
    evaluated = {"test_datasets": datasets["validation"]} if "validation" in datasets else {}
    return {
        "base_model": facts.model,
        "tokenizer_config": TOKENIZER_FOLDER,
        "datasets": datasets["train"],
        **evaluated,
        "dataset_prepared_path": "prepared",
        "sequence_len": facts.max_length,
        "excess_length_strategy": "raise",
        "sample_packing": False,
        "adapter": "lora",
        "lora_r": 16,
        "lora_alpha": 32,
        "lora_target_linear": True,
        "output_dir": "output",
        "micro_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "num_epochs": 1,
        "learning_rate": 2.0e-4,
        "optimizer": "adamw_torch_fused",
        "lr_scheduler": "linear",
        "bf16": "auto",
        "seed": facts.manifest.seed,
    }


AXOLOTL = Trainer(
    name="axolotl",
    distribution="axolotl",
    version="0.19.0",
    packages=(
        "axolotl==0.19.0",
        "transformers==5.16.1",
        "tokenizers==0.23.1",
        "huggingface_hub==1.17.0",
        "datasets==4.8.4",
        "peft==0.20.0",
        "trl==1.9.0",
        "accelerate==1.13.0",
        "addict==2.4.0",
        "posthog==6.7.11",
        "backoff==2.2.1",
        "distro==1.9.0",
        "numba==0.68.1",
        "llvmlite==0.50.0",
    ),
    forms={
        "conversations": DialectOf("each", FlaggedRows),
        "tokens": DialectOf("each", lambda _: TokenRows(COMMAND, configure_axolotl_tokens)),
    },
)
