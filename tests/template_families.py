"""Chat templates of the families that people train, with a byte tokenizer for each.

Those of Qwen, Llama, gpt-oss and Gemma are the files that TRL ships; ChatML, SmolLM2's and
Mistral's are written here in their manner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipeline.export.rows import ExportRow, row_id
from scorers.measures.protocols import Message
from scorers.measures.reading.dialogue import render_turns
from storage.exports_manifest import Split
from tests.fine_tune.tiny import byte_tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMOLLM2 = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n"
    "{% endif %}" + CHATML
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class Family:
    """A template and the tokens that it writes."""

    template: str
    control: Sequence[str] = ()
    begin: str | None = None
    end: str = "<|im_end|>"

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """One token for each byte and each control token."""
        tokenizer = byte_tokenizer()
        more = [token for token in (*self.control, self.begin, self.end) if token]
        tokenizer.add_tokens(more, special_tokens=True)
        tokenizer.eos_token = self.end
        tokenizer.bos_token = self.begin
        tokenizer.chat_template = self.template
        return tokenizer


def shipped(name: str) -> str:
    """A template that TRL ships."""
    return Path(str(files("trl") / "chat_templates" / f"{name}.jinja")).read_text()


LLAMA = ("<|start_header_id|>", "<|end_header_id|>")
QWEN3 = ("<think>", "</think>", "<tool_call>", "</tool_call>")
GPT_OSS = ("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|call|>", "<|constrain|>")

FAMILIES: Mapping[str, Family] = {
    "chatml": Family(CHATML),
    "smollm2": Family(SMOLLM2),
    "llama3": Family(shipped("llama3"), LLAMA, "<|begin_of_text|>", "<|eot_id|>"),
    "llama3_1": Family(shipped("llama3_1"), LLAMA, "<|begin_of_text|>", "<|eot_id|>"),
    "qwen2_5": Family(shipped("qwen2_5")),
    "qwen3": Family(shipped("qwen3"), QWEN3),
    "qwen3_no_thinking": Family("{%- set enable_thinking = false %}" + shipped("qwen3"), QWEN3),
    "gptoss": Family(shipped("gptoss"), GPT_OSS, end="<|return|>"),
    "gemma": Family(shipped("gemma"), ("<start_of_turn>",), "<bos>", "<end_of_turn>"),
    "mistral": Family(MISTRAL, ("[INST]", "[/INST]"), "<s>", "</s>"),
}


def turn_rows(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] = (),
    rank: int = 1,
    split: Split = "train",
) -> list[ExportRow]:
    """The export's rows of a conversation whose every assistant turn above weight 0 is trained."""
    trained_at = [
        index
        for index, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("weight") != 0
    ]
    turns = render_turns(tokenizer, messages, tools, trained_at, "chat")
    return [
        ExportRow(
            example_id=row_id(f"{rank:032x}", turn.message, len(turns)),
            prompt=messages[: turn.message],
            completion=[messages[turn.message]],
            tools=tools,
            prompt_tokens=len(turn.alone.prompt),
            loss_tokens=len(turn.alone.response),
            split=split,
            rank=rank,
            weight=turn.weight,
            source="rows.jsonl",
            license="mit",
        )
        for turn in turns
    ]
