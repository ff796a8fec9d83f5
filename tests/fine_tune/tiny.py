"""Rows, exports and a tokenizer for the tests of fine_tune; small enough to train in a second."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from peft import PeftModel
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fine_tune.evaluate import loss_of_rows
from fine_tune.libraries import quiet_libraries
from fine_tune.prepared_rows import load_split
from fine_tune.report import HeldOutLoss
from fine_tune.settings import TrainSettings
from fine_tune.trainer import (
    load_chat_tokenizer,
    load_model,
    prepared_rows,
    trainer_config,
)
from fine_tune.weighted_trainer import WeightedTrainer
from pipeline.export.dataset_card import ExportFacts
from pipeline.export.files import write_export
from pipeline.export.pretokenized import pretokenize_rows
from pipeline.export.rows import ExportRow
from scorers.measures.models.loading import load_tokenizer, resolve_model
from scorers.measures.reading.chat_format import render, template_fingerprint
from storage.exports_manifest import ModelIdentity, Split
from tests.some_model import SOME_MODEL

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"lat": {}}}},
}

TOOL_TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.reasoning_content or '' }}{{ m.content }}"
    "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Writes all that a conversation holds; SmolLM2's own template leaves out tools and calls."""


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each byte, and the two marks of a turn."""
    special = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    symbols = sorted(ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate([*symbols, *special])}
    model = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    model.pre_tokenizer = ByteLevel(add_prefix_space=False)
    model.decoder = ByteLevelDecoder()
    model.add_special_tokens(special)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=model,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        chat_template=TOOL_TEMPLATE,
    )


def make_rows(n: int, split: Split = "train") -> list[ExportRow]:
    """Rows of different lengths: plain, with a tool call as the response, with reasoning."""
    first = 0 if split == "train" else 10_000
    completions: list[dict[str, object]] = [
        {"role": "assistant", "content": "It rains, and it will rain on."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "type": "function",
                    "function": {"name": "weather", "arguments": {"lat": 3.699e-06, "é": None}},
                }
            ],
        },
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Let me see. " * 3},
    ]
    return [
        ExportRow(
            example_id=f"{first + i:032x}",
            prompt=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Is it raining? " * (1 + i % 4) + str(first + i)},
            ],
            completion=[completions[i % 3]],
            tools=[WEATHER] if i % 3 == 1 else [],
            prompt_tokens=0,
            loss_tokens=0,
            split=split,
            rank=i + 1,
            weight=1.0,
            source="rows.jsonl",
            license="mit",
        )
        for i in range(n)
    ]


def count_rows(rows: Sequence[ExportRow], model: Path) -> list[ExportRow]:
    """Rows with the tokens that the measuring engine counts for a model."""
    tokenizer = load_tokenizer(resolve_model(str(model)))
    counted = []
    for row in rows:
        messages = [*row.prompt, *row.completion]
        ids = render(tokenizer, messages, row.tools, len(row.prompt), "chat")
        prompt_tokens, loss_tokens = len(ids.prompt), len(ids.response)
        counted.append(replace(row, prompt_tokens=prompt_tokens, loss_tokens=loss_tokens))
    return counted


def export_for(
    model: Path,
    directory: Path,
    rows: Sequence[ExportRow],
    template: str = "chat",
    scores: Sequence[str] = (),
    recipe: Mapping[str, object] | None = None,
) -> Path:
    """Write rows, as they are, as an export for a model."""
    resolved = resolve_model(str(model))
    identity = ModelIdentity(
        reference=str(model),
        fingerprint=resolved.fingerprint,
        tokenizer_fingerprint=resolved.fingerprint,
        template=template,
        template_fingerprint=template_fingerprint(load_tokenizer(resolved), "chat"),
    )
    reasons = sorted({row.rejected.reason for row in rows if row.rejected})
    facts = replace(facts_of(identity), scores=scores, recipe=dict(recipe or {}), rejected=reasons)
    write_export(directory, rows, facts)
    return directory


def facts_of(identity: ModelIdentity) -> ExportFacts:
    """What an export says beside its rows, in as few words as can be."""
    return ExportFacts(
        name="tiny",
        selection_id="s1",
        run_id="r1",
        recipe={},
        recipe_hash="h",
        seed=0,
        model=identity,
        max_length=None,
    )


def export_with_tokens(
    directory: Path,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[ExportRow],
    *,
    pretokenized: bool = True,
) -> Path:
    """Write rows as conversations and as token ids, for whatever model has this tokenizer."""
    pretokenize = partial(pretokenize_rows, tokenizer=tokenizer, template="chat")
    facts = facts_of(SOME_MODEL)
    write_export(directory / "export", rows, facts, pretokenize if pretokenized else None)
    return directory / "export"


def heldout_loss(model: Path, adapter: Path | None, export: Path) -> HeldOutLoss:
    """The loss of an export's held-out rows, by a trainer that is made for it alone."""
    loaded: PreTrainedModel | PeftModel = load_model(model)
    if adapter is not None:
        loaded = PeftModel.from_pretrained(load_model(model), adapter)
    with TemporaryDirectory() as folder, quiet_libraries():
        trainer = WeightedTrainer(
            model=loaded,
            args=trainer_config(TrainSettings(), Path(folder)),
            train_dataset=load_split(export, "validation", Path(folder)),
            processing_class=load_chat_tokenizer(model),
        )
        return loss_of_rows(trainer, prepared_rows(trainer))
