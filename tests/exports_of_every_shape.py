"""Exports with a row of every shape, under the chat template of a family that people train."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from transformers import PreTrainedTokenizerBase

from pipeline.export.dataset_card import ExportFacts
from pipeline.export.files import write_export
from pipeline.export.rows import ExportRow
from scorers.measures.reading.chat_format import RenderingError, template_fingerprint
from storage.exports_manifest import ModelIdentity
from tests.template_families import FAMILIES, turn_rows

Turn: TypeAlias = dict[str, Any]

WEATHER: Turn = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "how it is outside",
        "parameters": {"type": "object", "properties": {"lat": {"type": "number"}}},
    },
}


def user(content: str) -> Turn:
    return {"role": "user", "content": content}


def answer(content: str, **more: object) -> Turn:
    return {"role": "assistant", "content": content, **more}


def system(content: str) -> Turn:
    return {"role": "system", "content": content}


def result(content: str) -> Turn:
    return {"role": "tool", "content": content, "tool_call_id": "1", "name": "weather"}


def call(lat: float) -> Turn:
    arguments = {"lat": lat, "unit": None}
    return {
        "id": "1", "type": "function", "function": {"name": "weather", "arguments": arguments}
    }  # fmt: skip


SHAPES: Mapping[str, tuple[Sequence[Turn], Sequence[Turn]]] = {
    "plain": ([user("two and two?"), answer("4.")], ()),
    "system": ([system("Be brief."), user("two and two?"), answer("4.")], ()),
    "dialogue": ([user("a?"), answer("b."), user("c?"), answer("d."), user("e"), answer("f")], ()),
    "untrained_turn": ([user("a?"), answer("b.", weight=0), user("c?"), answer("d.")], ()),
    "half_weight": ([user("a?"), answer("b.", weight=0.5)], ()),
    "reasoning": ([user("a?"), answer("4.", reasoning_content="two plus two")], ()),
    "reasoning_twice": (
        [
            user("a?"),
            answer("4.", reasoning_content="two plus two"),
            user("and?"),
            answer("5.", reasoning_content="one more"),
        ],
        (),
    ),
    "thought_in_content": ([user("a?"), answer("<think>\nhm\n</think>\n\n4.")], ()),
    "call_and_result": (
        [user("weather?"), answer("", tool_calls=[call(1.5)]), result("12"), answer("It is 12.")],
        [WEATHER],
    ),
    "call_with_text": (
        [user("weather?"), answer("I look.", tool_calls=[call(3.699e-06)])],
        [WEATHER],
    ),
    "two_calls": (
        [
            system("Be brief."),
            user("weather?"),
            answer("", tool_calls=[call(1.5), call(2)]),
            result("12"),
            result("13"),
            answer("12 and 13."),
        ],
        [WEATHER],
    ),
    "tools_not_called": ([user("hi"), answer("hello")], [WEATHER]),
    "emoji": ([user("😀 a?"), answer("é😀 ok\n")], ()),
    "blanks": ([user("  a? "), answer("  \n b \n\n")], ()),
    "repeated": ([user("yes."), answer("yes."), user("yes."), answer("yes.")], ()),
    "placeholders": (
        [user("{{content}} {{QUERY}} [INST]"), answer("{{RESPONSE}} [[dummy_message]]")],
        (),
    ),
    "media_tag": ([user("<image> a?"), answer("b")], ()),
    "two_users": ([user("a"), user("b"), answer("c")], ()),
    "two_answers": ([user("a"), answer("c"), answer("d")], ()),
    "long": ([user("word " * 60), answer("answer " * 40)], ()),
}


def export_of_every_shape(
    family: str, folder: Path, shapes: Mapping[str, tuple[Sequence[Turn], Sequence[Turn]]] = SHAPES
) -> Path:
    """An export of the shapes that a family's template writes, and its tokenizer beside it.

    The first shape stands in the validation split too.
    """
    tokenizer = FAMILIES[family].tokenizer()
    model = folder / "model"
    tokenizer.save_pretrained(str(model))
    config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 1}
    (model / "config.json").write_text(json.dumps(config))
    rows: list[ExportRow] = []
    for rank, (turns, tools) in enumerate(shapes.values(), start=1):
        try:
            rows += turn_rows(tokenizer, turns, tools, rank)
        except RenderingError:
            continue  # a template that does not write it: no export has such a row
    turns, tools = next(iter(shapes.values()))
    rows += turn_rows(tokenizer, turns, tools, len(shapes) + 1, "validation")
    return export_of_rows(rows, tokenizer, folder, max_length=4000)


def export_of_rows(
    rows: Sequence[ExportRow], tokenizer: PreTrainedTokenizerBase, folder: Path, max_length: int
) -> Path:
    """An export of rows whose tokens were counted in the chat template of a tokenizer."""
    facts = ExportFacts(
        name="shapes",
        selection_id="5" * 32,
        run_id="r",
        recipe={},
        recipe_hash="h",
        seed=3,
        model=ModelIdentity(
            reference=str(folder / "model"),
            fingerprint="f",
            tokenizer_fingerprint="t",
            template="chat",
            template_fingerprint=template_fingerprint(tokenizer, "chat"),
        ),
        max_length=max_length,
        rejected=sorted({row.rejected.reason for row in rows if row.rejected}),
    )
    write_export(folder / "export", rows, facts)
    return folder / "export"
