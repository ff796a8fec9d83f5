"""The project that is killed, and everything of its workspace that must come out the same."""

import hashlib
import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pipeline.measuring.catalogue import MEASURES
from storage.database import read_workspace
from storage.workspace import Workspace
from tests.fine_tune.tiny import byte_tokenizer

RECIPE = """
name: killed
workspace: work
seed: 1
target: ./model
tolerated_bad_rows: 0.5
sources: [{path: rows, license: CC0-1.0}]
generate: [{answers: 1, max_new_tokens: 8}]
measure:
  tokens: {max_tokens: 200}
  losses: {max_tokens: 200, dtype: float32, vectors: true}
  trajectories: {epochs: 1, checkpoints: 2, batch_rows: 8, max_tokens: 200}
scores: [perplexity, ifd, grape, response_length, {scorer: s2l_cluster, settings: {clusters: 2}}]
dedupe:
  - {method: minhash, keep: grape}
  - {method: semantic, text: hidden, threshold: 0.99999, keep: grape}
select:
  held_out: 0.1
  steps:
    - {method: grape}
    - {method: s2l, budget: {rows: 12}}
train: {batch_rows: 4, lora_rank: 2, save_every_steps: 1}
"""

VOLATILE = {
    "runs": {"started_at", "finished_at", "executions"},
    "sources": {"ingested_at"},
    "shards": {"seconds"},
    "replies": {"seconds"},
    "trials": {"cost"},
}
"""What says when and how long; everything else must be the same."""


def write_project(folder: Path) -> Path:
    """A recipe, three files of rows with odd ones among them, and a model of two small layers."""
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "rows").mkdir()
    for file in range(3):
        rows = [json.dumps(row_of(file, number)) for number in range(12)]
        odd = ['{"prompt": "cut', json.dumps({"messages": [{"role": "user", "content": "Hi."}]})]
        (folder / f"rows/{file}.jsonl").write_text("\n".join([*rows, *odd]) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def row_of(file: int, number: int) -> dict[str, str]:
    """A row; some prompts have several answers, some rows stand in two files."""
    told = f"It is {number * 7 % 13}" + ", and so on" * (number % 4)
    return {"prompt": f"What is {number % 9}?", "completion": told + "." * (file % 2)}


def workspace_content(workspace: Path) -> dict[str, object]:
    """Every table and view by its rows, every export, report and adapter by its bytes."""
    content: dict[str, object] = {}
    with read_workspace(Workspace(workspace)) as con:
        tables = con.execute("select table_name from duckdb_tables() order by all").fetchall()
        for name in [*(row[0] for row in tables), *MEASURES]:
            columns = con.execute(f"describe {name}").fetchall()
            kept = [c[0] for c in columns if c[0] not in VOLATILE.get(name, set())]
            query = f"select {', '.join(kept)} from {name} order by all"
            content[name] = [repr(row) for row in con.execute(query).fetchall()]
    for folder in ("exports", "reports", "models"):
        for path in sorted((workspace / folder).rglob("*")):
            if path.is_file() and not is_left_over(path.relative_to(workspace)):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                content[str(path.relative_to(workspace))] = digest
    return content


def is_left_over(path: Path) -> bool:
    """Files that nothing names: `sluice gc` removes them. Costs have times in them."""
    return path.name == "cost.json" or any(part.startswith(".") for part in path.parts)


def differences(content: dict[str, object], expected: dict[str, object]) -> list[str]:
    """Names of what is not the same."""
    names = sorted(content.keys() | expected.keys())
    return [name for name in names if content.get(name) != expected.get(name)]
