"""ms-swift: messages with a flag for each turn, in one of its own templates.

It writes conversations by templates of its own and tokenises runs of pieces that are trained alike;
a turn's end-of-turn text is trained where the turn is. The template is chosen whose frames are the
chat template's. Tools, calls and results stand in a column and in roles of their own where its
template for agents writes these as the chat template does; otherwise they are part of the contents,
as reasoning always is. Tags such as `<image>` are its own language for media, so rows that have one
in their text are not held.

Left alone it trains all turns, and deletes rows above `max_length`. Read: 4.6.0, template/base.py,
loss_scale/base.py, dataset/preprocessor/core.py.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import pyarrow as pa

from pipeline.handoff.native_columns import NativeTurn
from pipeline.handoff.native_templates import NativeTemplate
from pipeline.handoff.prediction import TrainedRow, UnheldRowError, join_pieces
from pipeline.handoff.promises import PromisedRow
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
from storage.exports_manifest import IGNORED

CONFIG_FILE = "swift.yaml"
COMMAND = f"swift sft {CONFIG_FILE}"
MODEL_TYPES = frozenset({"llama", "qwen2", "qwen3", "gemma", "phi3"})
"""Kinds that it calls as the model's own configuration does."""
AGENTS = {"chatml": "hermes", "llama3": "llama3"}
"""Template → that by which it writes tools, calls and results."""
MEDIA_TAGS = (
    "<image>",
    "<video>",
    "<audio>",
    "<bbox>",
    "<ref-object>",
    "<cot-process>",
    "<start-image>",
)
"""Texts that it puts media in the place of."""
TURN_NUMBERS = ("{{ROUND0}}", "{{ROUND1}}")
"""What it puts the number of an exchange in the place of, also within a user's message."""
PLACES = ("{{SYSTEM}}", "{{QUERY}}")
"""What it fills in within results of tools."""
ACTION = ("Action:", "Action Input:")
"""An answer that has both is read as ReAct."""


class TextPiece(NamedTuple):
    """A text, and whether it is trained."""

    text: str
    trained: bool


@dataclass(frozen=True, slots=True)
class LossFlagRows:
    """Rows of messages that say which are trained."""

    target: Target
    schema: pa.Schema | None = None
    command: str = COMMAND

    def hold(self, row: PromisedRow) -> HeldRow:
        """A row as columns, and as the contents between the frames of a template.

        Raises:
            UnheldRowError: if no template of ms-swift's writes it, or it has a text that this
                changes.
        """
        require_whole_weights(row)
        if tags := [tag for tag in MEDIA_TAGS if tag in row.text]:
            raise UnheldRowError(f"its text has {tags[0]}, which ms-swift reads as media")
        if numbers := [text for text in TURN_NUMBERS if text in row.text]:
            raise UnheldRowError(f"its text has {numbers[0]}, which ms-swift fills in")
        native, cut = self.target.cut_natively(
            row, "ms-swift", "ms-swift", columns=not read_otherwise(row)
        )
        if native.names["ms-swift"] == "chatml" and self.target.adds_tokens:
            raise UnheldRowError("ms-swift puts a beginning-of-text token in front of ChatML")
        answers = [at for at, message in enumerate(row.messages) if message["role"] == "assistant"]
        if len(answers) != len(cut.turns):
            raise UnheldRowError("its assistant turns do not alternate with a user's")
        trained = {turn.message for turn in row.turns}
        flags = [at in trained for at in answers]
        messages: list[dict[str, object]] = []
        pieces = [TextPiece(native.begin, trained=False)]
        if cut.system:
            assert native.system is not None
            pieces.append(TextPiece(cut.system.join(native.system), trained=False))
        if cut.system_said:
            messages.append({"role": "system", "content": cut.system_said})
        for number, (turn, flag) in enumerate(zip(cut.turns, flags, strict=True), start=1):
            messages += swift_turn(turn, flag)
            pieces.append(TextPiece(turn.opening, trained=False))
            pieces.append(TextPiece(turn.answer, flag))
            # Its suffix, behind the last answer alone, is trained whatever the flags say.
            pieces.append(TextPiece(native.close, trained=number == len(cut.turns)))
        # A text in every row; of nothing it would make a tool.
        tools = json.dumps(list(cut.tools), ensure_ascii=False)
        line = {"messages": messages, "tools": tools, "row_id": row.row_id}
        return HeldRow(line, self._encode(pieces, native), cut.columns)

    def _encode(self, pieces: Sequence[TextPiece], native: NativeTemplate) -> TrainedRow:
        runs = groupby(pieces, key=lambda piece: piece.trained)
        joined = join_pieces(
            (self.target.ids("".join(each.text for each in alike)), trained)
            for trained, alike in runs
        )
        labels = list(joined.labels)
        train_stops(joined.input_ids, labels, self.target.ids(native.close))
        return TrainedRow(joined.input_ids, labels)

    def configure(self, facts: HandoffFacts) -> Mapping[str, str]:
        """The training's YAML."""
        native = self.target.native
        assert native is not None  # or no row would be held
        evaluated = (
            {"val_dataset": [facts.file("validation")], "eval_strategy": "epoch"}
            if "validation" in facts.counts
            else {}
        )
        settings = {
            "model": facts.model,
            "dataset": [facts.file("train")],
            **evaluated,
            "split_dataset_ratio": 0.0,
            "template": native.names["ms-swift"],
            "agent_template": AGENTS[native.names["ms-swift"]],
            # Of a folder that it does not know by its name it asks for the kind of model.
            **({"model_type": facts.model_type} if facts.model_type in MODEL_TYPES else {}),
            "max_length": facts.max_length,
            # A longer row would be left out, or another put in its place; strict, it ends the
            # training. `raise`, which its template takes, its command line does not.
            "truncation_strategy": "delete",
            "strict": True,
            "loss_scale": "default",
            "packing": False,
            "tuner_type": "lora",
            "lora_rank": 16,
            "lora_alpha": 32,
            "target_modules": "all-linear",
            "output_dir": "output",
            "per_device_train_batch_size": 4,
            "learning_rate": 2.0e-4,
            "num_train_epochs": 1,
            "torch_dtype": "bfloat16",
            "seed": facts.manifest.seed,
        }
        return {CONFIG_FILE: yaml_text(settings)}


def read_otherwise(row: PromisedRow) -> bool:
    """Whether ms-swift would read columns for tools otherwise than as they are."""
    results = [message["content"] for message in row.messages if message["role"] == "tool"]
    return (
        has_null(row.tools)  # it takes these out of schemas
        or any(place in result for result in results for place in PLACES)
        or all(keyword in row.text for keyword in ACTION)
    )


def has_null(value: object) -> bool:
    """Whether a JSON value is or has a null."""
    if isinstance(value, Mapping):
        return any(map(has_null, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(map(has_null, value))
    return value is None


def swift_turn(turn: NativeTurn, flag: bool) -> Iterator[dict[str, object]]:
    """What is asked and its answer, a message for each text, result and call."""
    if turn.results:
        for result in turn.results:
            yield {"role": "tool_response", "content": result}
    else:
        yield {"role": "user", "content": turn.asked}
    if turn.said or not turn.calls:
        yield {"role": "assistant", "content": turn.said, "loss": flag}
    for call in turn.calls:
        content = json.dumps(named_call(call), ensure_ascii=False)
        yield {"role": "tool_call", "content": content, "loss": flag}


def train_stops(ids: Sequence[int], labels: list[int], close: Sequence[int]) -> None:
    """Label what closes a trained turn, where it stands at the beginning of what is read only."""
    start = 0
    for at in range(1, len(labels) + 1):
        if labels[at - 1] >= 0 and at < len(labels) and labels[at] == IGNORED:
            start = at
        elif start and labels[at - 1] == IGNORED and (at == len(labels) or labels[at] >= 0):
            end = start + len(close)
            if end <= at and list(ids[start:end]) == list(close):
                labels[start:end] = close


MS_SWIFT = Trainer(
    name="ms-swift",
    distribution="ms-swift",
    version="4.6.0",
    packages=(
        "ms-swift==4.6.0",
        "transformers==5.19.0",
        "tokenizers==0.23.1",
        "huggingface_hub==1.31.0",
        "datasets==4.8.4",
        "peft==0.20.0",
        "trl==0.29.0",
        "accelerate==1.13.0",
        "modelscope==1.40.2",
        "modelscope_hub==0.5.1",
        "json_repair==0.64.6",
    ),
    forms={"conversations": DialectOf("each", LossFlagRows)},
)
