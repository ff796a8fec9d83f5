"""A workspace with an export, made by the stages with a toy tokenizer, in a second or two.

Its rows are of every kind that a walk back to the source treats apart: plain ones, one of which
stands in two sources; one with a turn after the trained one, and one with two trained turns; one
with a tool call whose number an export spells anew; and an answer that was generated.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.export.settings import PLAIN, ExportSettings
from pipeline.export.stage import Exported, export_selection
from pipeline.measuring.measures.token_counts import TokenCounts
from pipeline.measuring.shards import measure_here
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.conversations import Conversation
from storage.database import open_workspace, read_workspace
from storage.examples import Attempt, MadeBy, read_pool, write_attempts
from tests.stage_runner import score, start
from tests.tiny_models import CHAT, save_tiny_llama

NUMBER = 3.699e-06
TOOL = "5"
"""A word of the toy tokenizer."""
SHARED = {"prompt": "1 2", "completion": "3 4"}


def talk(*texts: str) -> dict[str, object]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": t} for n, t in enumerate(texts)]}


def call() -> dict[str, object]:
    function = {"name": TOOL, "arguments": json.dumps({"unit": "g", "grams": NUMBER})}
    tool = {"name": TOOL, "description": "weigh", "parameters": {"type": "object"}}
    return {
        "messages": [
            {"role": "user", "content": "7"},
            {"role": "assistant", "content": "8", "tool_calls": [
                {"id": "1", "type": "function", "function": function}
            ]},
        ],
        "tools": [{"type": "function", "function": tool}],
    }  # fmt: skip


def write_sources(folder: Path) -> list[Path]:
    rows = [
        SHARED,
        talk("5 6", "7 8", "9"),
        talk("11", "12 13", "14", "15"),
        *(talk(f"{n} 10", f"{n} 11") for n in range(20, 30)),
    ]
    first, second = folder / "first.jsonl", folder / "second.jsonl"
    first.write_text("\n".join(json.dumps(row) for row in rows))
    second.write_text("\n".join(json.dumps(row) for row in (SHARED, call(), talk("50"))))
    return [first, second]


def export_workspace(
    folder: Path,
    held_out: float = 0.2,
    filters: Sequence[Mapping[str, object]] = (),
    chat_template: str | None = None,
    export: ExportSettings = PLAIN,
) -> tuple[RunContext, Exported]:
    """Ingest, count, score, select all that filters leave, and export, in `folder/workspace`."""
    run, pool = start(folder / "workspace", write_sources(folder), seed=1)
    calls = (
        "{{ message.content }}"
        "{% for call in message.tool_calls or [] %}"
        " {{ call.function.name }} {{ call.function.arguments }}{% endfor %}"
    )
    template = CHAT.replace("{{ message.content }}", calls)
    model = str(save_tiny_llama(folder / "model", chat_template=template))
    if chat_template is not None:
        (folder / "chat.jinja").write_text(chat_template)
        model = f"{model}?chat_template={folder}/chat.jinja"
    # Digits are control tokens of the toy tokenizer, and words of its rows.
    tokens = TokenCounts(model=model, control_tokens="keep")
    with open_workspace(run.workspace) as con:
        (prompt,) = con.execute("select example_id from examples where prompt = '50'").fetchall()
        answer = Conversation(
            [{"role": "user", "content": "50"}, {"role": "assistant", "content": "51"}]
        )
        made_by = MadeBy("key", "{}", run.run_id, "model")
        write_attempts(con, [Attempt(prompt[0], 0, answer, "")], made_by)
    with read_workspace(run.workspace) as con:
        pool = sorted({*read_pool(con, run.source_ids), answer.example_id})
    measure_here(run.workspace, tokens, pool)
    run = replace(run, measures={"token_counts": tokens.key()})
    run = score(run, ScoreSettings(scorer="response_length"), pool)
    top = {"method": "top_k", "score": "response_length", "budget": {"fraction": 1.0}}
    settings = SelectSettings.model_validate({"held_out": held_out, "steps": [*filters, top]})
    select_examples(run, settings, pool)
    measured = {"tokens": {"model": tokens.model}}
    recipe = {"name": "test", "select": {"name": "choice"}, "measure": measured, "seed": 1}
    return run, export_selection(run, recipe, tokens, ["top"], export)
